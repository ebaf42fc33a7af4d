package lab

import (
	"os"
	"strings"
	"testing"

	"slipway.io/slipway/provision/config"
)

func TestAnOverlayIsMergedAndKept(t *testing.T) {
	t.Parallel()
	spec := Spec{Name: "a", ControlPlanes: 1, Workers: 1}
	l := &Lab{Name: "a", Dir: t.TempDir(), Subnet: prefix("10.88.77.0/24")}
	l.Machines = MachinesOf(spec, l.Subnet, Layout{ControlPlane: func(i int) int { return 11 + i }})
	for i := range l.Machines {
		l.Machines[i].User = "slipway"
	}
	spec.Overlay = []byte("kubernetes: {kubeletConfiguration: {maxPods: 50}}\n")
	for _, overlay := range [][]byte{spec.Overlay, nil} {
		spec.Overlay = overlay
		if err := WriteInventory(l, spec, &SharedKernel{CgroupV1: true}); err != nil {
			t.Fatal(err)
		}
		cluster, err := config.Load(l.InventoryFile())
		if err != nil {
			t.Fatal(err)
		}
		kubelet := cluster.Kubernetes.KubeletConfiguration
		if kubelet["maxPods"] == nil || kubelet["failCgroupV1"] != false || len(cluster.Hosts) != 2 {
			t.Errorf("overlay %q: %v, %d hosts", overlay, kubelet, len(cluster.Hosts))
		}
	}
	before, err := os.ReadFile(l.InventoryFile())
	if err != nil {
		t.Fatal(err)
	}
	spec.Overlay = []byte("kubernetess: {}\n")
	if err := WriteInventory(l, spec, nil); err == nil || !strings.Contains(err.Error(), "kubernetess") {
		t.Errorf("an unknown section: %v", err)
	}
	if after, err := os.ReadFile(l.InventoryFile()); err != nil || string(after) != string(before) {
		t.Errorf("a refused overlay changed the inventory to %s (%v)", after, err)
	}
	spec.Overlay = nil
	if err := WriteInventory(l, spec, nil); err != nil {
		t.Errorf("a refused overlay is kept: %v", err)
	}
}

func TestAnOverlayCannotChangeTheMachines(t *testing.T) {
	t.Parallel()
	for overlay, want := range map[string]string{
		"hosts: []\n":           "section hosts is written by the lab",
		"metadata: {name: b}\n": "section metadata is written by the lab",
		"- a list\n":            "overlay: ",
	} {
		err := Spec{Name: "a", Workers: 1, Overlay: []byte(overlay)}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", overlay, err)
		}
	}
}

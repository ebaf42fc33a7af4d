package lab

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
)

func TestInventoryDecodesStrictly(t *testing.T) {
	t.Parallel()
	for _, cgroupV1 := range []bool{false, true} {
		for _, noSysResource := range []bool{false, true} {
			data := testInventory(t, Spec{ControlPlanes: 2, Workers: 1, Bundle: "/bundles/a: b"})
			data.CgroupV1, data.NoSysResource = cgroupV1, noSysResource
			cluster := decode(t, data)

			if got := cluster.Containerd.CgroupDriver; (got == "cgroupfs") != cgroupV1 {
				t.Errorf("cgroup v1 %t: cgroupDriver %q", cgroupV1, got)
			}
			_, failCgroupV1 := cluster.Kubernetes.KubeletConfiguration["failCgroupV1"]
			if failCgroupV1 != cgroupV1 || (len(cluster.Preflight.Ignore) > 0) != cgroupV1 {
				t.Errorf("cgroup v1 %t: kubelet %v, ignored %v", cgroupV1, cluster.Kubernetes.KubeletConfiguration, cluster.Preflight.Ignore)
			}
			if (cluster.Containerd.Config != nil) != noSysResource {
				t.Errorf("no CAP_SYS_RESOURCE %t: containerd %v", noSysResource, cluster.Containerd.Config)
			}
		}
	}
}

func TestInventoryHasWhatTheLabIs(t *testing.T) {
	t.Parallel()
	cluster := decode(t, testInventory(t, Spec{ControlPlanes: 2, Workers: 1, Bundle: "/bundles/a: b"}))
	cp, worker := []config.Role{config.RoleControlPlane}, []config.Role{config.RoleWorker}
	wantHosts := []config.Host{
		{Name: "cp1", Address: "10.88.77.11", Roles: cp},
		{Name: "cp2", Address: "10.88.77.12", Roles: cp},
		{Name: "w1", Address: "10.88.77.101", Roles: worker},
	}
	if diff := cmp.Diff(wantHosts, cluster.Hosts); diff != "" {
		t.Error(diff)
	}
	wantSSH := config.SSH{User: "slipway", IdentityFile: "id_ed25519", KnownHostsFile: "known_hosts"}
	if diff := cmp.Diff(wantSSH, cluster.SSH); diff != "" {
		t.Error(diff)
	}
	if cluster.APIVersion != config.APIVersion || cluster.Kind != config.Kind || cluster.Metadata.Name != "test" {
		t.Errorf("head: %+v", cluster.Metadata)
	}
	if cluster.Artifacts.Bundle != "/bundles/a: b" || cluster.ControlPlane.Endpoint != "10.88.77.11" {
		t.Errorf("bundle %q, endpoint %q", cluster.Artifacts.Bundle, cluster.ControlPlane.Endpoint)
	}
}

func TestInventoryOfOneControlPlaneNeedsNoEndpoint(t *testing.T) {
	t.Parallel()
	cluster := decode(t, testInventory(t, Spec{ControlPlanes: 1}))
	if cluster.ControlPlane.Endpoint != "" || cluster.Artifacts.Bundle != "" {
		t.Errorf("endpoint %q, bundle %q", cluster.ControlPlane.Endpoint, cluster.Artifacts.Bundle)
	}
	if !cluster.Hosts[0].Has(config.RoleWorker) {
		t.Errorf("nobody takes work: %v", cluster.Hosts[0].Roles)
	}
}

func testInventory(t *testing.T, spec Spec) inventory {
	t.Helper()
	s := testSession(t)
	s.state.Subnet = prefix("10.88.77.0/24")
	s.state.Machines = machinesOf(spec, s.state.Subnet)
	data, err := inventoryOf(s.lab(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data inventory) config.Cluster {
	t.Helper()
	content, err := data.render()
	if err != nil {
		t.Fatal(err)
	}
	var cluster config.Cluster
	if err := yaml.UnmarshalStrict(content, &cluster); err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	if strings.Contains(string(content), "<no value>") {
		t.Errorf("a value is missing:\n%s", content)
	}
	return cluster
}

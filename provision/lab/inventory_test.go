package lab

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
)

func TestInventoryIsValid(t *testing.T) {
	t.Parallel()
	for _, cgroupV1 := range []bool{false, true} {
		for _, noSysResource := range []bool{false, true} {
			data := testInventory(t, Spec{ControlPlanes: 3, Workers: 1})
			data.Shared = &SharedKernel{CgroupV1: cgroupV1, NoSysResource: noSysResource}
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

func TestInventoryDescribesTheLab(t *testing.T) {
	t.Parallel()
	cluster := decode(t, testInventory(t, Spec{ControlPlanes: 2, Workers: 1, Bundle: "/bundles/a: b"}))
	cp, worker := []config.Role{config.RoleControlPlane}, []config.Role{config.RoleWorker}
	type host struct {
		Name, Address string
		Roles         []config.Role
	}
	var got []host
	for _, h := range cluster.Hosts {
		got = append(got, host{h.Name, h.Address, h.Roles})
	}
	want := []host{{"cp1", "10.88.77.11", cp}, {"cp2", "10.88.77.12", cp}, {"w1", "10.88.77.101", worker}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ssh := cluster.SSH
	if ssh.User != "slipway" || ssh.IdentityFile != "/labs/test/id_ed25519" || ssh.KnownHostsFile != "/labs/test/known_hosts" {
		t.Errorf("ssh: %+v", ssh)
	}
	if len(cluster.Preflight.Ignore) != 1 || cluster.Preflight.Ignore[0].Check != "even-etcd" {
		t.Errorf("ignored for two control planes: %v", cluster.Preflight.Ignore)
	}
	if cluster.APIVersion != config.APIVersion || cluster.Kind != config.Kind || cluster.Metadata.Name != "test" {
		t.Errorf("head: %+v", cluster.Metadata)
	}
	if cluster.Artifacts.Bundle != "/bundles/a: b" || cluster.ControlPlane.Endpoint != "10.88.77.11" {
		t.Errorf("bundle %q, endpoint %q", cluster.Artifacts.Bundle, cluster.ControlPlane.Endpoint)
	}
}

func TestInventoryOfAHighlyAvailableLab(t *testing.T) {
	t.Parallel()
	for _, controlPlanes := range []int{1, 2, 3} {
		cluster := decode(t, testInventory(t, Spec{HA: true, ControlPlanes: controlPlanes, Workers: 2}))
		got := cluster.ControlPlane
		if got.Endpoint != "10.88.77.10" || got.LoadBalancer.Type != config.LoadBalancerKeepalived || got.BindPort == 6443 {
			t.Errorf("%d control planes: %+v", controlPlanes, got)
		}
		if (len(cluster.Preflight.Ignore) > 0) != (controlPlanes == 2) {
			t.Errorf("%d control planes: ignored %v", controlPlanes, cluster.Preflight.Ignore)
		}
	}
}

func TestInventoryOfOneControlPlaneNeedsNoEndpoint(t *testing.T) {
	t.Parallel()
	cluster := decode(t, testInventory(t, Spec{ControlPlanes: 1}))
	if cluster.ControlPlane.Endpoint != "" || cluster.Artifacts.Bundle != "" {
		t.Errorf("endpoint %q, bundle %q", cluster.ControlPlane.Endpoint, cluster.Artifacts.Bundle)
	}
	if !cluster.Hosts[0].Has(config.RoleWorker) {
		t.Errorf("no worker: %v", cluster.Hosts[0].Roles)
	}
}

func TestTheStatesOfHostsAreKept(t *testing.T) {
	t.Parallel()
	spec := Spec{Name: "a", ControlPlanes: 3, Workers: 2, HA: true}
	l := &Lab{Name: "a", Dir: t.TempDir(), Subnet: prefix("10.88.77.0/24"), Endpoint: prefix("10.88.77.10/32").Addr()}
	up := func(spec Spec) *config.Cluster {
		t.Helper()
		l.Machines = MachinesOf(spec, l.Subnet, Layout{ControlPlane: func(i int) int { return 11 + i }})
		for i := range l.Machines {
			l.Machines[i].User = "slipway"
		}
		if err := WriteInventory(l, spec, nil); err != nil {
			t.Fatal(err)
		}
		cluster, err := config.Load(l.InventoryFile())
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
	states := func(c *config.Cluster) map[string]string {
		states := map[string]string{}
		for _, h := range c.Leaving {
			states[h.Name] = h.State
		}
		return states
	}
	if got := states(up(spec)); len(got) > 0 {
		t.Errorf("a new lab has %v", got)
	}
	edit := func(states map[string]string) {
		t.Helper()
		content, err := os.ReadFile(l.InventoryFile())
		for name, state := range states {
			if err == nil {
				content, err = config.SetHostState(content, name, state)
			}
		}
		content = append(content, "preflight: {ignore: [{check: even-etcd, reason: a test}]}\n"...)
		if err := errors.Join(err, os.WriteFile(l.InventoryFile(), content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"cp2": config.StateLost, "w1": config.StateAbsent}
	edit(want)
	spec.ControlPlanes, spec.Workers = 4, 3
	grown := up(spec)
	if diff := cmp.Diff(want, states(grown)); diff != "" || grown.Ignores(config.CheckEvenEtcd) {
		t.Errorf("%s; ignored %v", diff, grown.Preflight.Ignore)
	}
	edit(map[string]string{"cp3": config.StateAbsent})
	want["cp3"] = config.StateAbsent
	even := up(spec)
	if diff := cmp.Diff(want, states(even)); diff != "" || !even.Ignores(config.CheckEvenEtcd) {
		t.Errorf("%s; ignored %v", diff, even.Preflight.Ignore)
	}
}

func testInventory(t *testing.T, spec Spec) inventory {
	t.Helper()
	l := &Lab{Name: "test", Dir: "/labs/test", Subnet: prefix("10.88.77.0/24")}
	var err error
	if l.Endpoint, err = EndpointOf(l.Endpoint, false, spec, l.Subnet); err != nil {
		t.Fatal(err)
	}
	l.Machines = MachinesOf(spec, l.Subnet, Layout{ControlPlane: func(i int) int { return 11 + i }})
	for i := range l.Machines {
		l.Machines[i].User, l.Machines[i].IdentityFile = "slipway", "/labs/test/id_ed25519"
	}
	data, err := inventoryOf(l, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data inventory) *config.Cluster {
	t.Helper()
	content, err := data.render()
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := config.Parse("/labs/test/inventory.yaml", content)
	if err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	if strings.Contains(string(content), "<no value>") {
		t.Errorf("a value is missing:\n%s", content)
	}
	return cluster
}

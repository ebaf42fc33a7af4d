package lab

import (
	"net/netip"
	"strings"
	"testing"

	"slipway.io/slipway/provision/config"
)

func host(name, address string, roles ...config.Role) config.Host {
	return config.Host{Name: name, Address: address, Roles: roles}
}

func TestAMachineForEachHostOfAnInventory(t *testing.T) {
	t.Parallel()
	const cp, worker = config.RoleControlPlane, config.RoleWorker
	got, err := Spec{Name: "a"}.WithHostsOf(&config.Cluster{Hosts: []config.Host{
		host("beta", "192.0.2.41", worker), host("alpha", "192.0.2.40", cp),
	}})
	if err != nil {
		t.Fatal(err)
	}
	machines := MachinesOf(got, got.Subnet, Layout{})
	if len(machines) != 2 || machines[0].Name != "alpha" || machines[0].Address.String() != "192.0.2.40" || machines[1].Name != "beta" ||
		got.Subnet != prefix("192.0.2.0/24") || got.ControlPlanes != 1 || got.Workers != 1 {
		t.Errorf("got %+v", got)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestHostsThatALabCannotHave(t *testing.T) {
	t.Parallel()
	const cp, worker = config.RoleControlPlane, config.RoleWorker
	tests := []struct {
		name  string
		hosts []config.Host
		spec  Spec
		want  string
	}{
		{"a name in the place of an address", []config.Host{host("a", "a.example", cp)}, Spec{}, `host a: address "a.example": a machine needs an IPv4 address`},
		{"IPv6", []config.Host{host("a", "2001:db8::1", cp)}, Spec{}, "a machine needs an IPv4 address"},
		{"a host of etcd", []config.Host{host("a", "192.0.2.11", cp), host("e", "192.0.2.12", config.RoleEtcd)}, Spec{}, "host e: role etcd"},
		{"two networks", []config.Host{host("a", "192.0.2.11", cp), host("b", "198.51.100.12", worker)}, Spec{}, "machine b: address 198.51.100.12 is not in 192.0.2.0/24"},
		{"another range", []config.Host{host("a", "192.0.2.11", cp)}, Spec{Subnet: prefix("10.0.0.0/24")}, "the hosts are in 192.0.2.0/24, not in 10.0.0.0/24"},
		{"the address of this computer", []config.Host{host("a", "192.0.2.1", cp)}, Spec{}, "this computer has .1"},
		{"the address of the endpoint", []config.Host{host("a", "192.0.2.10", cp)}, Spec{HA: true}, "that of the lab's endpoint"},
		{"an address of MetalLB", []config.Host{host("a", "192.0.2.210", cp)}, Spec{Addons: []string{"metallb"}}, "MetalLB assigns the address 192.0.2.210"},
		{"no hosts", nil, Spec{}, "the inventory has no hosts"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.spec.Name = "a"
			got, err := test.spec.WithHostsOf(&config.Cluster{Hosts: test.hosts})
			if err == nil {
				err = got.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestALabKeepsTheMachinesOfItsInventory(t *testing.T) {
	t.Parallel()
	machine := func(name string) Machine { return Machine{Name: name, Address: netip.MustParseAddr("192.0.2.40")} }
	spec := Spec{Name: "a", ControlPlanes: 1, Workers: 1}
	if got, named := spec.WithMachinesOf(&Lab{Machines: []Machine{machine("cp1"), machine("w1")}}); named || len(got.Machines) != 0 {
		t.Errorf("the names are those of a scheme: %+v", got)
	}
	if got, named := spec.WithMachinesOf(&Lab{Machines: []Machine{machine("cp1"), machine("beta")}}); !named || len(got.Machines) != 2 {
		t.Errorf("got %+v", got)
	}
}

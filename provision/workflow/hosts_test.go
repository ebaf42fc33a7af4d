package workflow

import (
	"net/netip"
	"slices"
	"testing"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
)

func TestNodeIP(t *testing.T) {
	t.Parallel()
	address := func(prefix string) facts.Address {
		return facts.Address{Interface: "eth" + prefix[:1], Prefix: netip.MustParsePrefix(prefix)}
	}
	route := facts.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth1"}
	nat := &facts.Facts{Addresses: []facts.Address{address("10.0.2.15/24"), address("192.168.56.11/24")}, Routes: []facts.Route{route}}
	tests := []struct {
		name string
		spec config.Host
		have *facts.Facts
		want string
		hint bool
	}{
		{"the nodeIP of the inventory, without facts", config.Host{NodeIP: "192.0.2.1", Address: "192.168.56.11"}, nil, "192.0.2.1", false},
		{"the address of SSH if an interface has it", config.Host{Address: "192.168.56.11"}, nat, "192.168.56.11", false},
		{"the default route's if SSH goes through NAT", config.Host{Address: "127.0.0.1"}, nat, "10.0.2.15", false},
		{"the default route's if SSH goes by a name", config.Host{Address: "box.example"}, nat, "10.0.2.15", false},
		{"none before the facts", config.Host{Name: "w", Address: "192.168.56.11"}, nil, "", false},
		{"none without a default route, with a hint", config.Host{Name: "w", Address: "box.example"}, &facts.Facts{}, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := &Host{Config: test.spec}
			if test.have != nil {
				m.SetFacts(test.have)
			}
			got, err := m.NodeIP()
			if (err == nil) != (test.want != "") || err == nil && got.String() != test.want || (Hint(err) != "") != test.hint {
				t.Errorf("got %s, %v, hint %q, want %s", got, err, Hint(err), test.want)
			}
		})
	}
}

func TestHostsThatLeaveAreReadAndNotWorkedOn(t *testing.T) {
	t.Parallel()
	cp := []config.Role{config.RoleControlPlane}
	old := &Host{Config: config.Host{Name: "cp-1", Roles: cp, State: config.StateAbsent}}
	old.SetFacts(&facts.Facts{Existing: []facts.Path{facts.CAKey, facts.EtcdMember}})
	fresh := &Host{Config: config.Host{Name: "cp-4", Roles: cp, State: config.StatePresent}}
	fresh.SetFacts(&facts.Facts{})
	hosts := &Hosts{All: []*Host{fresh}, Leaving: []*Host{old}}
	for place, want := range map[*Place][]*Host{
		&EachHost: {fresh}, &ControlPlanes: {fresh}, &OtherControlPlanes: {fresh}, &ObservedHosts: {fresh, old}, &Seed: {old},
	} {
		if got := place.Hosts(hosts); !slices.Equal(got, want) {
			t.Errorf("%s: got %d hosts", place, len(got))
		}
	}
	if got := hosts.WithLeaving(); !slices.Equal(EachHost.Hosts(got), []*Host{fresh, old}) || got.Seed() != old {
		t.Error("WithLeaving differs")
	}
	if got := hosts.entrances(); !slices.Equal(got, []*Host{fresh, old}) {
		t.Errorf("the API server is reached through %d hosts", len(got))
	}
}

func TestAMemberIsFoundByTheAddressOfItsHost(t *testing.T) {
	t.Parallel()
	read := &facts.Facts{Routes: []facts.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"}}, Addresses: []facts.Address{{Interface: "eth0", Prefix: netip.MustParsePrefix("192.0.2.11/24")}}}
	for name, test := range map[string]struct {
		host   config.Host
		facts  *facts.Facts
		member kube.EtcdMember
		want   bool
	}{
		"its name":                                 {config.Host{}, nil, kube.EtcdMember{Name: "cp-1"}, true},
		"the name of another host":                 {config.Host{}, nil, kube.EtcdMember{Name: "cp-2", PeerURLs: []string{"https://cp-1.example:2380"}}, false},
		"the address of SSH":                       {config.Host{}, nil, kube.EtcdMember{PeerURLs: []string{"https://cp-1.example:2380"}}, true},
		"the node IP of the inventory":             {config.Host{NodeIP: "192.0.2.12"}, nil, kube.EtcdMember{PeerURLs: []string{"https://192.0.2.12:2380"}}, true},
		"the node IP of the facts":                 {config.Host{}, read, kube.EtcdMember{PeerURLs: []string{"https://192.0.2.11:2380"}}, true},
		"an address while the facts are not known": {config.Host{}, nil, kube.EtcdMember{PeerURLs: []string{"https://192.0.2.11:2380"}}, false},
	} {
		test.host.Name, test.host.Address = "cp-1", "cp-1.example"
		h := &Host{Config: test.host}
		h.SetFacts(test.facts)
		if got := h.HasMemberIn(&cluster.State{Members: []kube.EtcdMember{{Name: "cp-9"}, test.member}}); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
		if h.HasMemberIn(nil) {
			t.Errorf("%s: it has a member of a cluster that was not read", name)
		}
	}
}

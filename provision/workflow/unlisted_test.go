package workflow

import (
	"testing"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
)

func TestUnlistedControlPlanesHaveANodeOrAMember(t *testing.T) {
	t.Parallel()
	listed := []config.Host{{Name: "cp-1", Address: "192.0.2.11"}, {Name: "w-1", Address: "192.0.2.21"}}
	left := []config.Host{{Name: "cp-8", Address: "cp-8.example", NodeIP: "192.0.2.18", State: config.StateLost}}
	member := func(name, address string) kube.EtcdMember {
		return kube.EtcdMember{Name: name, PeerURLs: []string{"https://" + address + ":2380"}}
	}
	plane := func(name string, addresses ...string) cluster.Node {
		return cluster.Node{Name: name, ControlPlane: true, Addresses: addresses}
	}
	for name, test := range map[string]struct {
		state *cluster.State
		want  []string
	}{
		"nothing is known":                        {nil, nil},
		"all are listed":                          {&cluster.State{Nodes: []cluster.Node{plane("cp-1"), plane("cp-8")}, Members: []kube.EtcdMember{member("cp-1", "192.0.2.11"), member("", "192.0.2.18")}}, nil},
		"a member":                                {&cluster.State{Members: []kube.EtcdMember{member("cp-9", "192.0.2.19")}}, []string{"cp-9 (192.0.2.19)"}},
		"a member that never started":             {&cluster.State{Members: []kube.EtcdMember{member("", "192.0.2.19")}}, []string{"192.0.2.19"}},
		"a member without an address":             {&cluster.State{Members: []kube.EtcdMember{member("cp-9", "cp-9.example")}}, []string{"cp-9"}},
		"a Node":                                  {&cluster.State{Nodes: []cluster.Node{plane("cp-9", "192.0.2.19", "2001:db8::19")}}, []string{"cp-9 (192.0.2.19, 2001:db8::19)"}},
		"a Node of a worker":                      {&cluster.State{Nodes: []cluster.Node{{Name: "w-9", Addresses: []string{"192.0.2.29"}}}}, nil},
		"a Node with a member of another address": {&cluster.State{Nodes: []cluster.Node{plane("cp-9", "192.0.2.19")}, Members: []kube.EtcdMember{member("cp-9", "198.51.100.19")}}, []string{"cp-9 (192.0.2.19, 198.51.100.19)"}},
		"a Node with a member that never started": {&cluster.State{Nodes: []cluster.Node{plane("cp-9", "192.0.2.19")}, Members: []kube.EtcdMember{member("", "192.0.2.19")}}, []string{"cp-9 (192.0.2.19)"}},
		"two": {&cluster.State{Nodes: []cluster.Node{plane("cp-9", "192.0.2.19")}, Members: []kube.EtcdMember{member("cp-7", "192.0.2.17")}}, []string{"cp-9 (192.0.2.19)", "cp-7 (192.0.2.17)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The run does not have the host that has just left.
			hosts := &Hosts{All: []*Host{{Config: listed[0]}}}
			hosts.SetState(test.state)
			got := hosts.Unlisted(&config.Cluster{Hosts: listed, Leaving: left})
			if len(got) != len(test.want) {
				t.Fatalf("got %v", got)
			}
			for i, u := range got {
				if u.String() != test.want[i] {
					t.Errorf("got %s, want %s", u, test.want[i])
				}
			}
		})
	}
}

package endpoint

import (
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// planeNode is the Node of a control plane.
func planeNode(name string, addresses ...string) cluster.Node {
	return cluster.Node{Name: name, ControlPlane: true, Addresses: addresses}
}

// Without them, cp-1 would hold the address even if its API server is not ready, and they
// would take it too.
func TestAControlPlaneThatWasOnlyDeletedFromTheInventoryStaysAPeer(t *testing.T) {
	t.Parallel()
	member := func(name, peer string) kube.EtcdMember {
		return kube.EtcdMember{Name: name, PeerURLs: []string{peer}}
	}
	own := member("cp-1", "https://192.0.2.11:2380")
	const left = "  - {name: cp-9, address: 192.0.2.19, roles: [control-plane], state: lost}\n"
	for name, test := range map[string]struct {
		more    string
		members []kube.EtcdMember
		nodes   []cluster.Node
		peers   []string
	}{
		"two of three":                   {"", []kube.EtcdMember{own, member("cp-2", "https://192.0.2.12:2380"), member("cp-3", "https://192.0.2.13:2380")}, nil, []string{"192.0.2.12", "192.0.2.13"}},
		"one that never started":         {"", []kube.EtcdMember{own, member("", "https://192.0.2.12:2380")}, nil, []string{"192.0.2.12"}},
		"none":                           {"", []kube.EtcdMember{own}, nil, nil},
		"one that the inventory has":     {left, []kube.EtcdMember{own, member("cp-9", "https://192.0.2.19:2380")}, nil, nil},
		"one with a name for an address": {"", []kube.EtcdMember{own, member("cp-2", "https://cp-2.example:2380")}, nil, nil},
		"one of another address family":  {"", []kube.EtcdMember{own, member("cp-2", "https://[2001:db8::12]:2380")}, nil, nil},
		"members of an etcd elsewhere": {
			"  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}\n",
			[]kube.EtcdMember{member("etcd-2", "https://192.0.2.32:2380")},
			nil, nil,
		},
		"one whose etcd is elsewhere": {
			"  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}\n",
			nil,
			[]cluster.Node{planeNode("cp-1", "192.0.2.11"), planeNode("cp-2", "192.0.2.12", "2001:db8::12")},
			[]string{"192.0.2.12"},
		},
		"one that has a member and a Node": {
			"",
			[]kube.EtcdMember{own, member("cp-2", "https://192.0.2.12:2380")},
			[]cluster.Node{planeNode("cp-2", "192.0.2.12")},
			[]string{"192.0.2.12"},
		},
		"a lost one that has a Node": {left, []kube.EtcdMember{own}, []cluster.Node{planeNode("cp-9", "192.0.2.19")}, nil},
		"a worker":                   {"", []kube.EtcdMember{own}, []cluster.Node{{Name: "w-1", Addresses: []string{"192.0.2.21"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, "metadata: {name: lab}\n"+keepalived+"hosts:\n  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n"+test.more)
			fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest}
			fixture.Hosts.SetState(&cluster.State{Exists: true, Members: test.members, Nodes: test.nodes})
			m := fixture.Host("cp-1")
			starts(m, keepalivedService)
			fixture.MustApply(Keepalived())
			text := content(t, m, keepalivedConf)
			want := test.peers
			if want == nil {
				want = []string{"127.0.0.1"}
			}
			_, block, _ := strings.Cut(text, "unicast_peer {")
			block, _, _ = strings.Cut(block, "}")
			if got := strings.Fields(block); !slices.Equal(got, want) {
				t.Errorf("peers %q, want %q", got, want)
			}
			if alone := strings.Contains(text, " alone"); alone != (test.peers == nil) {
				t.Errorf("alone: %v", alone)
			}
		})
	}
}

// It runs, and nothing changes its keepalived: both would hold the address.
func TestNothingThatAnUnlistedControlPlaneDoesNotKnowIsStarted(t *testing.T) {
	t.Parallel()
	const (
		two = "metadata: {name: lab}\npreflight: {ignore: [{check: even-etcd, reason: a test}]}\n" + keepalived +
			"hosts:\n  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}\n"
		nine  = "keepalived on cp-9 (192.0.2.19), which is not in the inventory, "
		other = "has another virtual router ID"
	)
	unlisted := &cluster.State{Exists: true, Nodes: []cluster.Node{planeNode("cp-1", "192.0.2.11"), planeNode("cp-9", "192.0.2.19")}}
	for name, test := range map[string]struct {
		more    string
		state   *cluster.State
		on      string
		conf    string
		refused string
	}{
		"a new control plane":                          {"", unlisted, "cp-2", "", nine + unknown},
		"a new one with the file of its package":       {"", unlisted, "cp-2", conf(51, "192.0.2.200"), nine + unknown},
		"a new one that started while it was listed":   {"", unlisted, "cp-2", conf(51, "192.0.2.11", "192.0.2.19"), ""},
		"such a one, and the ID changes":               {"", unlisted, "cp-2", conf(50, "192.0.2.11", "192.0.2.19"), nine + other},
		"one that runs, and nothing changes":           {"", unlisted, "cp-1", conf(51, "192.0.2.19"), ""},
		"one that runs and had forgotten it":           {"", unlisted, "cp-1", conf(51, "127.0.0.1"), ""},
		"one that runs, and the ID changes":            {"", unlisted, "cp-1", conf(50, "192.0.2.19"), nine + other},
		"one that runs and did not use keepalived yet": {"", unlisted, "cp-1", "", ""},
		"a new one after it was listed again":          {"  - {name: cp-9, address: 192.0.2.19, roles: [control-plane], state: lost}\n", unlisted, "cp-2", "", ""},
		"a new one while its etcd is known alone": {
			"", &cluster.State{Exists: true, Members: []kube.EtcdMember{{Name: "cp-9", PeerURLs: []string{"https://192.0.2.19:2380"}}}}, "cp-2", "", nine + unknown,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, two+test.more)
			fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest}
			fixture.Hosts.SetState(test.state)
			phase := StartKeepalived()
			if test.on == "cp-1" {
				phase = Keepalived()
			}
			fixture.Host("cp-1").Put(keepalivedConf, conf(51, "192.0.2.12"))
			if test.on == "cp-1" {
				fixture.Host("cp-1").Remove(keepalivedConf)
			}
			m := fixture.Host(test.on)
			if test.conf != "" {
				m.Put(keepalivedConf, test.conf)
			}
			if test.refused == "" {
				starts(m, keepalivedService)
			}
			err := fixture.Apply(phase)
			if (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Fatalf("got %v", err)
			}
			if err == nil {
				return
			}
			if hint := workflow.Hint(err); !strings.Contains(hint, "add cp-9 (192.0.2.19) to the inventory again") || !strings.Contains(hint, "state: absent") || !strings.Contains(hint, "state: lost") {
				t.Errorf("hint %q", hint)
			}
			if _, written := m.File(keepalivedCheck); written {
				t.Error("its files were written")
			}
		})
	}
}

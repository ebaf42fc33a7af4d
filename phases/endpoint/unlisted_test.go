package endpoint

import (
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
)

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
		peers   []string
	}{
		"two of three":                   {"", []kube.EtcdMember{own, member("cp-2", "https://192.0.2.12:2380"), member("cp-3", "https://192.0.2.13:2380")}, []string{"192.0.2.12", "192.0.2.13"}},
		"one that never started":         {"", []kube.EtcdMember{own, member("", "https://192.0.2.12:2380")}, []string{"192.0.2.12"}},
		"none":                           {"", []kube.EtcdMember{own}, nil},
		"one that the inventory has":     {left, []kube.EtcdMember{own, member("cp-9", "https://192.0.2.19:2380")}, nil},
		"one with a name for an address": {"", []kube.EtcdMember{own, member("cp-2", "https://cp-2.example:2380")}, nil},
		"one of another address family":  {"", []kube.EtcdMember{own, member("cp-2", "https://[2001:db8::12]:2380")}, nil},
		"members of an etcd elsewhere": {
			"  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}\n",
			[]kube.EtcdMember{member("etcd-2", "https://192.0.2.32:2380")},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, "metadata: {name: lab}\n"+keepalived+"hosts:\n  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n"+test.more)
			fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest}
			fixture.Hosts.SetState(&cluster.State{Exists: true, Members: test.members})
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

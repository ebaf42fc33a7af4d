package cluster

import "testing"

func TestTheCASaysToWhichClusterAHostBelongs(t *testing.T) {
	t.Parallel()
	unreadable := func(h Host) Host {
		h.Facts.Kubernetes.Certificates[0].PEM = nil
		return h
	}
	const unknown, this, another = UnknownCluster, ThisCluster, AnotherCluster
	tests := []struct {
		name              string
		hosts             []Host // the last one is examined
		belongs, departed Belonging
	}{
		{"this cluster", []Host{member("a", "ca"), worker("w", "ca")}, this, this},
		{"another cluster", []Host{member("a", "ca"), worker("w", "other")}, another, another},
		{"a control plane of another cluster", []Host{member("a", "ca"), leaving(member("b", "other"))}, another, another},
		{"one of this cluster, before the seed", []Host{leaving(member("b", "ca")), member("a", "ca"), leaving(worker("w", "ca"))}, this, this},
		{"the seed", []Host{blank("w", false), member("a", "ca")}, this, this},
		{"a clean host", []Host{member("a", "ca"), leaving(blank("w", false))}, unknown, unknown},
		{"a host that was not read", []Host{member("a", "ca"), leaving(Host{Name: "w"})}, unknown, unknown},
		{"a host whose CA cannot be read", []Host{member("a", "ca"), unreadable(worker("w", "other"))}, unknown, unknown},
		{"a control plane that was not read", []Host{{Name: "a", ControlPlane: true}, leaving(worker("w", "other"))}, unknown, unknown},
		{"a control plane whose CA cannot be read", []Host{unreadable(member("a", "ca")), leaving(worker("w", "ca"))}, unknown, unknown},
		{"a control plane without a cluster", []Host{blank("a", true), leaving(worker("w", "other"))}, unknown, unknown},
		{"two clean hosts", []Host{blank("a", true), blank("w", false)}, unknown, unknown},
		{"no control plane", []Host{worker("v", "ca"), worker("w", "ca")}, unknown, unknown},

		// Only one that stays tells which cluster is that of the inventory.
		{"the control plane that has the cluster leaves too", []Host{blank("a", true), leaving(member("b", "ca")), leaving(worker("w", "ca"))}, this, unknown},
		{"it leaves too, from another cluster", []Host{blank("a", true), leaving(member("b", "ca")), leaving(worker("w", "other"))}, another, unknown},
		{"the only one with a cluster", []Host{blank("a", true), leaving(member("b", "ca"))}, this, unknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := test.hosts[len(test.hosts)-1]
			if got := Belongs(test.hosts, h); got != test.belongs {
				t.Errorf("it belongs: got %d, want %d", got, test.belongs)
			}
			if got := Departed(test.hosts, h); got != test.departed {
				t.Errorf("it departed: got %d, want %d", got, test.departed)
			}
		})
	}
}

package phases

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestNoHostWaitsForAnUnreachableHostOfEtcd(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, `hosts:
- {name: etcd-1, address: 192.0.2.31, roles: [etcd]}
- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
- {name: w-1, address: 192.0.2.21}
`)
	fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-1"}}})
	for _, h := range fixture.Hosts.All {
		h.SetUnreachable(host.ErrUnreachable)
	}
	unreachable, _ := Pending(fixture.Hosts, workflow.Selection{})
	if diff := cmp.Diff([]string{"w-1"}, unreachable); diff != "" {
		t.Error(diff)
	}
}

func TestAControlPlaneWaitsForThoseThatAreNotSelected(t *testing.T) {
	t.Parallel()
	nodes := func(names ...string) *cluster.State {
		state := &cluster.State{Exists: true}
		for _, name := range names {
			state.Nodes = append(state.Nodes, cluster.Node{Name: name})
		}
		return state
	}
	withMembers := nodes("cp-1", "cp-4")
	withMembers.Members = []kube.EtcdMember{{Name: "cp-1"}}
	silent := &cluster.State{Exists: true, Silent: errSilent}
	joined := []facts.Path{facts.CAKey, facts.EtcdMember}
	tests := []struct {
		name     string
		state    *cluster.State
		selected []string
		exists   []facts.Path
		waits    bool
	}{
		{"a new one", nodes("cp-1"), []string{"cp-1"}, nil, true},
		{"a new one that is selected", nodes("cp-1"), []string{"cp-1", "cp-4"}, nil, false},
		{"a new one, in a run on all hosts", nodes("cp-1"), nil, nil, false},
		{"a new one, while only a worker leaves", nodes("cp-1"), []string{"w-1"}, nil, false},
		{"one that has joined", nodes("cp-1", "cp-4"), []string{"cp-1"}, nil, false},
		{"one whose join was interrupted", nodes("cp-1", "cp-4"), []string{"cp-1"}, []facts.Path{facts.JoinConfig}, true},
		{"one without its member", withMembers, []string{"cp-1"}, nil, true},
		{"one that has joined, while the API server is silent", silent, []string{"cp-1"}, joined, false},
		{"a new one, while the API server is silent", silent, []string{"cp-1"}, nil, true},
		{"a new one, without a cluster", &cluster.State{}, []string{"cp-1"}, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, withAbsent)
			fixture.Hosts.SetState(test.state)
			fixture.Facts("cp-4").Existing = test.exists
			unreachable, unselected := Pending(fixture.Hosts, workflow.Selection{Hosts: test.selected})
			var want []string
			if test.waits {
				want = []string{"cp-4"}
			}
			if diff := cmp.Diff([][]string{nil, want}, [][]string{unreachable, unselected}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// With an etcd that runs elsewhere, nothing else refuses it.
func TestTheOnlyControlPlaneStaysUntilItsReplacementHasJoined(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"drain", "stop"} {
		phase := phaseOf(t, Remove(), name)
		fixture, server, _ := departure(t)
		fixture.Facts("cp-4").Existing = nil
		err := fixture.Apply(phase)
		if err == nil || !strings.Contains(err.Error(), "no control plane that stays has joined") || !strings.Contains(workflow.Hint(err), "without --hosts") {
			t.Errorf("%s: got %v", name, err)
		}
		if asked, requests := fixture.Host("cp-1").Transcript(), server.Requests(); asked != "" || len(requests) > 0 {
			t.Errorf("%s: the host received %s, the API server %q", name, asked, requests)
		}
		// In a plan, apply has not joined it yet.
		if err := fixture.Plan(phase); err != nil {
			t.Errorf("%s in a plan: %v", name, err)
		}
	}
	fixture, _, _ := departure(t)
	fixture.Hosts.State().Nodes = append(fixture.Hosts.State().Nodes, cluster.Node{Name: "cp-4"})
	fixture.MustApply(phaseOf(t, Remove(), "drain"))
	if diff := cmp.Diff([]string{"cordon node cp-1"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

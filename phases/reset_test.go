package phases

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestAHostThatAnotherClusterHasIsNotReset(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, withAbsent)
	fixture.Hosts = fixture.Hosts.WithLeaving()
	fixture.Selection = workflow.Selection{Hosts: []string{"cp-1", "w-1"}}
	trust(fixture, "one", "cp-4")
	trust(fixture, "other", "cp-1", "w-1")
	var notes []string
	for _, name := range []string{"etcd-member", "stop", "stop-etcd", "node", "network", "undo"} {
		if err := fixture.Apply(phaseOf(t, Reset(), name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := fixture.Changes(); len(got) > 0 {
			t.Errorf("%s: changes %q", name, got)
		}
		notes = append(notes, fixture.Notes()...)
	}
	for _, name := range []string{"cp-1", "w-1"} {
		if asked := fixture.Host(name).Transcript(); asked != "" {
			t.Errorf("%s received %s", name, asked)
		}
	}
	said := strings.Join(notes, "\n")
	if len(notes) != 2 || !strings.Contains(said, "w-1 is absent in the inventory, and may belong to another cluster now") || !strings.Contains(said, "cp-1 is absent") {
		t.Errorf("notes %q", notes)
	}
}

func TestOnlyAHostThatLeavesCanBelongToAnotherCluster(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(f *workflowtest.Fixture)
		reset   bool
	}{
		{"it has another CA", func(f *workflowtest.Fixture) { trust(f, "one", "cp-4"); trust(f, "other", "w-1") }, false},
		{"it has the same CA", func(f *workflowtest.Fixture) { trust(f, "one", "cp-4", "w-1") }, true},
		{"it was only prepared", func(f *workflowtest.Fixture) { trust(f, "one", "cp-4") }, true},
		{"its CA cannot be read", func(f *workflowtest.Fixture) {
			trust(f, "one", "cp-4", "w-1")
			f.Facts("w-1").Kubernetes = facts.Kubernetes{}
		}, false},
		{"an interrupted reset has deleted its CA", func(f *workflowtest.Fixture) {
			trust(f, "one", "cp-4")
			f.Facts("w-1").Existing = []facts.Path{facts.Journal, facts.KubeletConf, facts.ResetMark}
		}, true},
		{"the CA of the control plane that stays cannot be read", func(f *workflowtest.Fixture) {
			trust(f, "one", "cp-4", "w-1")
			f.Facts("cp-4").Kubernetes = facts.Kubernetes{}
		}, false},
		{"the control plane that has its CA leaves too", func(f *workflowtest.Fixture) { trust(f, "one", "cp-1", "w-1") }, false},
		{"it has another CA, and stays", func(f *workflowtest.Fixture) {
			trust(f, "one", "cp-4")
			trust(f, "other", "w-1")
			for _, h := range f.Hosts.All {
				h.Config.State = config.StatePresent
			}
		}, true},
		{"no control plane that stays has a CA", func(f *workflowtest.Fixture) { trust(f, "one", "cp-1"); trust(f, "other", "w-1") }, false},
		{"the facts of the control plane are not known", func(f *workflowtest.Fixture) {
			trust(f, "other", "w-1")
			for _, h := range f.Hosts.ControlPlanes() {
				h.SetFacts(nil)
			}
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, withAbsent)
			fixture.Hosts = fixture.Hosts.WithLeaving()
			fixture.Selection = workflow.Selection{Hosts: []string{"w-1"}}
			fixture.Facts("w-1").Existing = []facts.Path{facts.Journal}
			test.prepare(fixture)
			fixture.MustPlan(phaseOf(t, Reset(), "stop"))
			if diff := cmp.Diff(test.reset, len(fixture.Changes()) > 0); diff != "" {
				t.Errorf("%s: changes %q, notes %q", diff, fixture.Changes(), fixture.Notes())
			}
		})
	}
}

// The cluster that apply has observed is that of the control plane that leaves: its
// replacement joins before the removal, but not in a plan.
func TestAPlanShowsTheResetOfTheOnlyControlPlane(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		nodes []cluster.Node
		reset bool
	}{
		"the cluster has its Node": {[]cluster.Node{{Name: "cp-1"}}, true},
		"the cluster has no Node":  {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, withAbsent)
			fixture.Hosts = fixture.Hosts.WithLeaving()
			fixture.Selection = workflow.Selection{Hosts: []string{"cp-1"}}
			trust(fixture, "one", "cp-1")
			fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: test.nodes})
			fixture.MustPlan(phaseOf(t, Remove(), "stop"))
			if got := len(fixture.Changes()) > 0; got != test.reset {
				t.Errorf("changes %q, notes %q", fixture.Changes(), fixture.Notes())
			}
		})
	}
}

// Apply has read the cluster, and its Node is another host by now.
func TestAHostWithAnotherCAIsNotRemovedForItsNode(t *testing.T) {
	t.Parallel()
	for _, unreadable := range []bool{false, true} {
		fixture := workflowtest.New(t, withAbsent)
		fixture.Hosts = fixture.Hosts.WithLeaving()
		fixture.Selection = workflow.Selection{Hosts: []string{"w-1"}}
		trust(fixture, "one", "cp-4")
		trust(fixture, "other", "w-1")
		if unreadable {
			fixture.Facts("cp-4").Kubernetes = facts.Kubernetes{}
		}
		fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-4"}, {Name: "w-1"}}})
		fixture.MustPlan(phaseOf(t, Remove(), "stop"))
		if got := fixture.Changes(); len(got) > 0 {
			t.Errorf("the CA of the control plane cannot be read: %v; changes %q", unreadable, got)
		}
	}
}

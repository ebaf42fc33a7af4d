package nodes

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

func TestMaintenanceDrainsAndUncordonsNodes(t *testing.T) {
	t.Parallel()
	fixture, server := rolling(t, cluster.Node{}, "")
	fixture.Selection = workflow.Selection{Hosts: []string{"w-1"}}
	server.Put(shopPod)
	for _, step := range []struct {
		phase   workflow.Phase
		changes []string
	}{
		{Cordon(), []string{"cordon node w-1"}},
		{Cordon(), nil},
		{Evict(), []string{"evict pod shop/web"}},
		{Evict(), nil},
	} {
		fixture.MustApply(step.phase)
		if diff := cmp.Diff(step.changes, fixture.Changes()); diff != "" {
			t.Errorf("%s: %s", step.phase.Name, diff)
		}
	}
	// An apply in the meantime.
	_, uncordon, _ := turn(true)
	fixture.MustApply(uncordon)
	if !isCordoned(server) {
		t.Error("a roll ends the maintenance")
	}
	fixture.MustApply(Uncordon())
	if diff := cmp.Diff([]string{"uncordon node w-1"}, fixture.Changes()); diff != "" || isCordoned(server) {
		t.Errorf("cordoned: %v, %s", isCordoned(server), diff)
	}
}

func TestMaintenanceDrainsAHostThatIsOff(t *testing.T) {
	t.Parallel()
	fixture, server := rolling(t, cluster.Node{}, "")
	fixture.Selection = workflow.Selection{Hosts: []string{"w-1"}}
	server.Put(shopPod)
	for _, h := range fixture.Hosts.All {
		if h.Config.Name == "w-1" {
			h.SetUnreachable(errors.New("w-1: no route to host"))
		}
	}
	_ = fixture.Apply(Evict()) // the run reports that the host is off
	if diff := cmp.Diff([]string{"evict pod shop/web"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestMaintenanceRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		node  cluster.Node
		other bool // the state has another Node only
		phase workflow.Phase
		err   string
	}{
		{name: "a node that somebody else has cordoned", node: cluster.Node{Cordoned: true}, phase: Uncordon(), err: "somebody else has cordoned the node"},
		{name: "a host without a node, to cordon", other: true, phase: Cordon(), err: "the host is no node of the cluster"},
		{name: "a host without a node, to drain", other: true, phase: Evict(), err: "the host is no node of the cluster"},
		{name: "a host without a node, to uncordon", other: true, phase: Uncordon(), err: "the host is no node of the cluster"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, server := rolling(t, test.node, "")
			fixture.Selection = workflow.Selection{Hosts: []string{"w-1"}}
			if test.other {
				fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-1"}}})
			}
			if err := fixture.Apply(test.phase); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v", err)
			}
			if isCordoned(server) != test.node.Cordoned || len(fixture.Changes()) > 0 {
				t.Errorf("cordoned: %v, changes %v", isCordoned(server), fixture.Changes())
			}
		})
	}
}

// What an interrupted run has cordoned can be uncordoned without an apply.
func TestUncordonEndsEveryReasonOfSlipway(t *testing.T) {
	t.Parallel()
	for _, reason := range []kube.CordonReason{kube.CordonedForRoll, kube.CordonedForRemoval, kube.CordonedForMaintenance} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			fixture, server := rolling(t, cluster.Node{Cordoned: true, CordonReason: reason}, "slipway.io/cordoned: "+string(reason))
			fixture.Selection = workflow.Selection{Hosts: []string{"w-1"}}
			fixture.MustApply(Uncordon())
			if isCordoned(server) {
				t.Error("it is still cordoned")
			}
		})
	}
}

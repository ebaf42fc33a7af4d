package nodes

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const (
	shopPod = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, controller: true, uid: x}]}, " +
		"spec: {nodeName: w-1}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}"
	budgetRefuses = "shop/web: The disruption budget web needs 1 healthy pods"
)

// turn returns the phases of a turn of w-1, and the numbers of pods that it moved.
func turn(disruptive bool) (drain, uncordon workflow.Phase, moved map[string]int) {
	moved = map[string]int{}
	roll := &workflow.Roll{
		Name: "workers", Disruptive: func(context.Context, *workflow.Step) (bool, error) { return disruptive, nil },
		Moved: func(host string, pods int) { moved[host] += pods },
	}
	drain, uncordon = DrainTurn(roll), UncordonTurn(roll)
	drain.On, uncordon.On = workflow.Workers, workflow.Workers
	return drain, uncordon, moved
}

// rolling is a fixture with the Node w-1 and its state before the roll.
func rolling(t *testing.T, node cluster.Node, annotation string) (*workflowtest.Fixture, *kubetest.Server) {
	t.Helper()
	fixture, _, server := joining(t)
	cordoned := ""
	if node.Cordoned {
		cordoned = "unschedulable: true"
	}
	server.Put("{apiVersion: v1, kind: Node, metadata: {name: w-1, annotations: {" + annotation + "}}, spec: {" + cordoned + "}, status: {conditions: [{type: Ready, status: 'True'}]}}")
	node.Name, node.Ready = "w-1", true
	fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{node}})
	return fixture, server
}

func isCordoned(server *kubetest.Server) bool {
	spec, _ := server.Get("/api/v1/nodes/w-1")["spec"].(kubetest.Object)
	return spec["unschedulable"] == true
}

func TestATurnDrainsAndUncordons(t *testing.T) {
	t.Parallel()
	fixture, server := rolling(t, cluster.Node{}, "")
	server.Put(shopPod)
	drain, uncordon, moved := turn(true)
	fixture.MustApply(drain)
	if diff := cmp.Diff([]string{"cordon node w-1", "evict pod shop/web"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	if !isCordoned(server) || moved["w-1"] != 1 {
		t.Errorf("cordoned: %v, moved %v", isCordoned(server), moved)
	}
	fixture.MustApply(uncordon)
	if diff := cmp.Diff([]string{"uncordon node w-1"}, fixture.Changes()); diff != "" || isCordoned(server) {
		t.Errorf("cordoned: %v, %s", isCordoned(server), diff)
	}
}

func TestThePlanOfATurnSaysWhatIsEvictedAndWhatIsNot(t *testing.T) {
	t.Parallel()
	fixture, server := rolling(t, cluster.Node{}, "")
	server.Put(shopPod)
	server.Put(strings.Replace(shopPod, "name: web, namespace", "name: api, namespace", 1))
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/web/eviction") {
			return false
		}
		kubetest.Answer(w, http.StatusTooManyRequests, kubetest.Object{
			"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 429, "reason": "TooManyRequests",
			"details": kubetest.Object{"causes": []kubetest.Object{{"reason": "DisruptionBudget", "message": "The disruption budget web needs 1 healthy pods"}}},
		})
		return true
	})
	drain, uncordon, moved := turn(true)
	fixture.MustPlan(drain)
	if diff := cmp.Diff([]string{"cordon node w-1", "evict pod shop/api", "evict pod " + budgetRefuses}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	fixture.MustPlan(uncordon)
	if diff := cmp.Diff([]string{"uncordon node w-1"}, fixture.Changes()); diff != "" || isCordoned(server) || moved["w-1"] != 0 {
		t.Errorf("cordoned: %v, moved %v: %s", isCordoned(server), moved, diff)
	}
}

func TestATurnUncordonsOnlyWhatSlipwayCordoned(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, annotation string
		node             cluster.Node
		disruptive, plan bool
		changes          []string
	}{
		{name: "a node that nothing disrupts"},
		{name: "somebody else's cordon", node: cluster.Node{Cordoned: true}, disruptive: true},
		{name: "somebody else's cordon, in a plan", node: cluster.Node{Cordoned: true}, disruptive: true, plan: true},
		{name: "a node in maintenance", node: cluster.Node{Cordoned: true, CordonReason: kube.CordonedForMaintenance}, annotation: "slipway.io/cordoned: maintenance", disruptive: true},
		{
			name: "a run that was interrupted after the change", node: cluster.Node{Cordoned: true, CordonReason: kube.CordonedForRoll}, annotation: "slipway.io/cordoned: roll",
			changes: []string{"uncordon node w-1"},
		},
		{
			name: "the same in a plan", node: cluster.Node{Cordoned: true, CordonReason: kube.CordonedForRoll}, annotation: "slipway.io/cordoned: roll", plan: true,
			changes: []string{"uncordon node w-1"},
		},
		{
			name: "a node that was to leave, and stays", node: cluster.Node{Cordoned: true, CordonReason: kube.CordonedForRemoval}, annotation: "slipway.io/cordoned: 'true'",
			changes: []string{"uncordon node w-1"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, server := rolling(t, test.node, test.annotation)
			drain, uncordon, _ := turn(test.disruptive)
			run := fixture.MustApply
			if test.plan {
				run = fixture.MustPlan
			}
			run(drain)
			if changes := fixture.Changes(); len(changes) > 0 {
				t.Errorf("the drain changes %v", changes)
			}
			run(uncordon)
			if diff := cmp.Diff(test.changes, fixture.Changes()); diff != "" {
				t.Error(diff)
			}
			if want := test.node.Cordoned && (test.plan || test.changes == nil); isCordoned(server) != want {
				t.Errorf("cordoned: %v", isCordoned(server))
			}
		})
	}
}

func TestATurnEndsWhenTheNodeIsReadyAgain(t *testing.T) {
	t.Parallel()
	fixture, server := rolling(t, cluster.Node{Cordoned: true, CordonReason: kube.CordonedForRoll}, "slipway.io/cordoned: roll")
	const notReady = "{apiVersion: v1, kind: Node, metadata: {name: w-1, annotations: {slipway.io/cordoned: roll}}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: 'False'}]}}"
	server.Put(notReady)
	looks := 0
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/nodes" {
			if looks++; looks == 3 {
				server.Put(strings.Replace(notReady, "'False'", "'True'", 1))
			}
		}
		if r.Method == http.MethodPatch && looks < 3 {
			t.Error("it is uncordoned before it is ready")
		}
		return false
	})
	_, uncordon, _ := turn(true)
	fixture.MustApply(uncordon)
	if isCordoned(server) || looks < 3 {
		t.Errorf("cordoned: %v, looked %d times", isCordoned(server), looks)
	}
}

// Without a pod network, nodes are never ready.
func TestATurnDoesNotWaitForTheNodeWithoutAPodNetwork(t *testing.T) {
	t.Parallel()
	fixture, server := rolling(t, cluster.Node{Cordoned: true, CordonReason: kube.CordonedForRoll}, "slipway.io/cordoned: roll")
	fixture.Cluster.Network.CNI.Name = config.CNINone
	server.Put("{apiVersion: v1, kind: Node, metadata: {name: w-1, annotations: {slipway.io/cordoned: roll}}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: 'False'}]}}")
	_, uncordon, _ := turn(true)
	fixture.MustApply(uncordon)
	if isCordoned(server) {
		t.Error("it is still cordoned")
	}
}

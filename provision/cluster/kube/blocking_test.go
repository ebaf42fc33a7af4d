package kube

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
)

func TestBlockingNamesBudgetsByTheRulesOfTheAPIServer(t *testing.T) {
	t.Parallel()
	const (
		running    = `{phase: Running, conditions: [{type: Ready, status: "True"}]}`
		crashing   = `{phase: Running, conditions: [{type: Ready, status: "False"}]}`
		maxUnav0   = "{currentHealthy: 2, desiredHealthy: 2, expectedPods: 2, disruptionsAllowed: 0, observedGeneration: 1}"
		degraded   = "{currentHealthy: 1, desiredHealthy: 1, expectedPods: 2, disruptionsAllowed: 0, observedGeneration: 1}"
		enough     = "{currentHealthy: 2, desiredHealthy: 1, expectedPods: 2, disruptionsAllowed: 1, observedGeneration: 1}"
		belowTheir = "{currentHealthy: 0, desiredHealthy: 1, expectedPods: 2, disruptionsAllowed: 0, observedGeneration: 1}"
	)
	budget := func(name, selector, spec, status string) string {
		return "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: " + name + ", namespace: shop, generation: 1}, spec: {selector: " + selector + spec + "}, status: " + status + "}"
	}
	web := func(status string) string {
		return strings.Replace(podOf("ReplicaSet", "web", "web-1", "w-1", status), "metadata: {", "metadata: {labels: {app: web}, ", 1)
	}
	of := Blocked{Node: "w-1", Pod: "shop/web-1", Budgets: []string{"web"}, Workload: "deployment shop/web"}
	tests := []struct {
		name, pod string
		budgets   []string
		why       string
		never     bool
	}{
		{name: "a budget that allows it", pod: web(running), budgets: []string{budget("web", "{matchLabels: {app: web}}", "", enough)}},
		{name: "maxUnavailable 0", pod: web(running), budgets: []string{budget("web", "{matchLabels: {app: web}}", "", maxUnav0)}, why: "it wants 2 healthy of 2 pods, and so never allows an eviction", never: true},
		{name: "an empty selector", pod: web(running), budgets: []string{budget("web", "{}", "", maxUnav0)}, why: "it wants 2 healthy of 2 pods, and so never allows an eviction", never: true},
		{name: "no selector", pod: web(running), budgets: []string{budget("web", "null", "", maxUnav0)}},
		{name: "the budget of other pods", pod: web(running), budgets: []string{budget("db", "{matchLabels: {app: db}}", "", maxUnav0)}},
		{name: "one that is used up by a pod that is not ready", pod: web(running), budgets: []string{budget("web", "{matchLabels: {app: web}}", "", degraded)}, why: "it wants 1 healthy of 2 pods, and has 1"},
		{name: "the pod that is not ready itself, of a healthy workload", pod: web(crashing), budgets: []string{budget("web", "{matchLabels: {app: web}}", "", degraded)}},
		{name: "a pod that is not ready, of an unhealthy workload", pod: web(crashing), budgets: []string{budget("web", "{matchLabels: {app: web}}", "", belowTheir)}, why: "it wants 1 healthy of 2 pods, and has 0"},
		{name: "the same with AlwaysAllow", pod: web(crashing), budgets: []string{budget("web", "{matchLabels: {app: web}}", ", unhealthyPodEvictionPolicy: AlwaysAllow", belowTheir)}},
		{name: "a budget that was just created", pod: web(running), budgets: []string{budget("web", "{matchLabels: {app: web}}", "", "{}")}},
		{
			name: "one that its controller cannot compute", pod: web(running),
			budgets: []string{budget("web", "{matchLabels: {app: web}}", "", "{observedGeneration: 1, conditions: [{type: DisruptionAllowed, status: 'False', reason: SyncFailed, message: no scale}]}")},
			why:     "its controller cannot compute it: no scale", never: true,
		},
		{name: "a pod that has not started", pod: web("{phase: Pending}"), budgets: []string{budget("web", "{}", "", maxUnav0)}},
		{name: "a pod that has finished", pod: web("{phase: Succeeded}"), budgets: []string{budget("web", "{}", "", maxUnav0)}},
		{name: "a pod of a DaemonSet, which stays", pod: strings.Replace(web(running), "kind: ReplicaSet", "kind: DaemonSet", 1), budgets: []string{budget("web", "{}", "", maxUnav0)}},
		{name: "a pod on another node", pod: strings.Replace(web(running), "w-1", "w-2", 1), budgets: []string{budget("web", "{}", "", maxUnav0)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := kubetest.New(t)
			server.Put("{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true, uid: d}]}}")
			server.Put(test.pod)
			for _, b := range test.budgets {
				server.Put(b)
			}
			got, err := testClient(t, server).Blocking(t.Context(), "w-1")
			if err != nil {
				t.Fatal(err)
			}
			var want []Blocked
			if test.why != "" {
				b := of
				b.Why, b.Never = test.why, test.never
				want = []Blocked{b}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPodWithSeveralBudgetsIsNeverEvicted(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put("{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {nodeName: w-1}, status: {phase: Running}}")
	for _, name := range []string{"a", "b"} {
		server.Put("{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: " + name + ", namespace: shop}, spec: {selector: {}}, status: {disruptionsAllowed: 1}}")
	}
	got, err := testClient(t, server).Blocking(t.Context())
	if err != nil || len(got) != 1 || !got[0].Never {
		t.Fatalf("got %v, %v", got, err)
	}
	if want := "PodDisruptionBudget a, b blocks pod shop/web on node w-1: Kubernetes does not evict a pod that several budgets select"; got[0].String() != want {
		t.Errorf("got %q", got[0])
	}
}

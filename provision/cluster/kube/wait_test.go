package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
)

const (
	readyNode = `
apiVersion: v1
kind: Node
metadata: {name: cp-1}
status: {conditions: [{type: Ready, status: "True"}]}`
	unreadyNode = `
apiVersion: v1
kind: Node
metadata: {name: w-1}
status: {conditions: [{type: Ready, status: "False", reason: KubeletNotReady, message: cni plugin not initialized}]}`
	lostNode = `
apiVersion: v1
kind: Node
metadata: {name: w-1}
status: {conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown, message: Kubelet stopped posting node status.}]}`
	silentNode = "{apiVersion: v1, kind: Node, metadata: {name: w-1}}"

	daemonSet = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: tools, generation: 2}
spec: {selector: {matchLabels: {app: agent}}}
status: `
	deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: tools, generation: 2}
spec: {replicas: 2, selector: {matchLabels: {app: web}}}
status: `
	stuckPod = `
---
apiVersion: v1
kind: Pod
metadata: {name: agent-x, namespace: tools, labels: {app: agent}}
spec: {nodeName: w-1}
status:
  phase: Pending
  containerStatuses: [{name: main, state: {waiting: {reason: ImagePullBackOff, message: no such image}}}]`
)

func TestConditions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		objects   string
		condition Condition
		done      bool
		seen      string
	}{
		{"a node that waits for its network", unreadyNode, NodesReady("w-1"), false, "w-1: not Ready: KubeletNotReady: cni plugin not initialized"},
		{"nodes ready", readyNode, NodesReady("cp-1"), true, ""},
		{"one of the nodes not ready", readyNode + "\n---\n" + silentNode, NodesReady("cp-1", "w-1"), false, "w-1: its kubelet has not reported yet"},
		{"a node that does not count", readyNode + "\n---\n" + silentNode, NodesReady("cp-1"), true, ""},
		{"a node missing", readyNode, NodesReady("cp-1", "w-1"), false, "w-1: not registered"},
		{
			"a daemon set that is complete",
			daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}",
			DaemonSetReady("tools", "agent"), true, "2 of 2 pods available",
		},
		{
			"a daemon set whose image is missing",
			daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}" + stuckPod,
			DaemonSetReady("tools", "agent"), false,
			"1 of 2 pods available; agent-x on w-1: main: ImagePullBackOff: no such image",
		},
		{
			"a daemon set with a pod on a node whose kubelet no longer reports",
			daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}" + stuckPod + "\n---\n" + lostNode,
			DaemonSetReady("tools", "agent"), true, "1 of 1 pods available",
		},
		{
			"a daemon set with a pod on a node that is not ready yet",
			daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}" + stuckPod + "\n---\n" + unreadyNode,
			DaemonSetReady("tools", "agent"), false, "1 of 2 pods available; agent-x on w-1: main: ImagePullBackOff: no such image",
		},
		{
			"a daemon set that is rolled out",
			daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 1, numberAvailable: 2}",
			DaemonSetReady("tools", "agent"), false, "2 of 2 pods available, 1 of them up to date",
		},
		{
			"a daemon set that its controller has not observed",
			daemonSet + "{observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}",
			DaemonSetReady("tools", "agent"), false, "its controller has not observed it yet",
		},
		{
			"a daemon set without nodes", daemonSet + "{observedGeneration: 2}",
			DaemonSetReady("tools", "agent"), false, "0 of 0 pods available",
		},
		{"no daemon set", readyNode, DaemonSetReady("tools", "agent"), false, "daemon set tools/agent does not exist"},
		{
			"a deployment that is complete",
			deployment + "{observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}",
			DeploymentReady("tools", "web"), true, "2 of 2 replicas available",
		},
		{
			"a deployment whose old replicas still run",
			deployment + "{observedGeneration: 2, replicas: 3, updatedReplicas: 2, availableReplicas: 3}",
			DeploymentReady("tools", "web"), false, "3 of 2 replicas available, 2 of 3 up to date",
		},
		{
			"a deployment that is short of a replica",
			deployment + "{observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 1}",
			DeploymentReady("tools", "web"), false, "1 of 2 replicas available",
		},
		{"no deployment", readyNode, DeploymentReady("tools", "web"), false, "deployment tools/web does not exist"},
		{
			"a pod that is ready",
			"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: tools}, status: {conditions: [{type: Ready, status: 'True'}]}}",
			PodReady("tools", "a"), true, "Ready",
		},
		{
			"a pod that crashed",
			"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: tools}, status: {phase: Running, containerStatuses: [{name: m, state: {terminated: {exitCode: 2, reason: Error}}}]}}",
			PodReady("tools", "a"), false, "m: Error (exit code 2)",
		},
		{
			"a pod that fits nowhere",
			"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: tools}, status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: too large}]}}",
			PodReady("tools", "a"), false, "Unschedulable: too large",
		},
		{"no pod", readyNode, PodReady("tools", "a"), false, "pod tools/a does not exist"},
		{
			"a service account", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: tools}}",
			ServiceAccountExists("tools", "default"), true, "",
		},
		{"no service account", readyNode, ServiceAccountExists("tools", "default"), false, "service account tools/default does not exist"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := kubetest.New(t)
			server.Put(test.objects)
			done, seen, err := test.condition.Check(t.Context(), testClient(t, server))
			if err != nil {
				t.Fatal(err)
			}
			if done != test.done || seen != test.seen {
				t.Errorf("done %v, seen %q; want %v, %q", done, seen, test.done, test.seen)
			}
		})
	}
}

func TestAPIReadyNamesTheFailedChecks(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	var looks atomic.Int32
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/readyz" {
			return false
		}
		if looks.Add(1) < 3 {
			http.Error(w, "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed\nreadyz check failed", 500)
			return true
		}
		w.Write([]byte("ok"))
		return true
	})
	var seen []string
	err := testClient(t, server).WaitFor(t.Context(), APIReady(), WaitOptions{
		Interval: time.Millisecond, Progress: func(observation string) { seen = append(seen, observation) },
	})
	if err != nil {
		t.Fatal(err)
	}
	// Observed twice, reported once.
	if diff := cmp.Diff([]string{"/readyz: not ready: etcd, poststarthook/rbac/bootstrap-roles"}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestWaitForReportsTheLastObservation(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(unreadyNode)
	err := testClient(t, server).WaitFor(t.Context(), NodesReady("w-1"), WaitOptions{Timeout: 3 * time.Second})
	var waited *WaitError
	if !errors.As(err, &waited) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v is no WaitError at the deadline", err)
	}
	if waited.Condition != "nodes ready" || !strings.Contains(waited.Last, "cni plugin not initialized") {
		t.Errorf("condition %q, last %q", waited.Condition, waited.Last)
	}
}

func TestWaitForOutlastsALostConnection(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(readyNode)
	var looks atomic.Int32
	server.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if looks.Add(1) == 1 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		return false
	})
	if err := testClient(t, server).WaitFor(t.Context(), NodesReady("cp-1"), WaitOptions{Interval: time.Millisecond}); err != nil {
		t.Error(err)
	}
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := testClient(t, server).WaitFor(ctx, NodesReady("w-1"), WaitOptions{Progress: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

package kube

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"slipway.io/slipway/provision/cluster/kubetest"
)

// nodeWithPods has one pod of each kind on w-1, and one on another node.
const nodeWithPods = `
apiVersion: v1
kind: Node
metadata: {name: w-1}
status: {conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, controller: true, uid: x}]}
spec: {nodeName: w-1, volumes: [{name: cache, emptyDir: {}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: shop}
spec: {nodeName: w-1}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, controller: true, uid: x}]}
spec: {nodeName: w-1}
---
apiVersion: v1
kind: Pod
metadata: {name: static, namespace: kube-system, annotations: {kubernetes.io/config.mirror: x}}
spec: {nodeName: w-1}
---
apiVersion: v1
kind: Pod
metadata: {name: finished, namespace: shop}
spec: {nodeName: w-1}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere, namespace: shop}
spec: {nodeName: w-2}
`

func drainOptions() WaitOptions {
	return WaitOptions{Timeout: 10 * time.Second, Interval: time.Millisecond}
}

func pods(server *kubetest.Server) (names []string) {
	for _, path := range []string{"shop/pods/web", "shop/pods/alone", "shop/pods/agent", "kube-system/pods/static", "shop/pods/finished", "shop/pods/elsewhere"} {
		if server.Get("/api/v1/namespaces/"+path) != nil {
			names = append(names, path[strings.LastIndex(path, "/")+1:])
		}
	}
	return names
}

func TestDrainEvictsWhatRunsElsewhereAfterwards(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	client := testClient(t, server)
	for _, want := range []bool{true, false} { // the second time, it is cordoned
		if changed, err := client.Cordon(t.Context(), "w-1", CordonedForRemoval); err != nil || changed != want {
			t.Errorf("changed %v, %v", changed, err)
		}
	}
	done, err := client.Drain(t.Context(), "w-1", drainOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := &Drained{Evicted: []string{"shop/alone", "shop/web"}, Unmanaged: []string{"shop/alone"}}
	if diff := cmp.Diff(want, done, cmpopts.IgnoreUnexported(Drained{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"agent", "static", "finished", "elsewhere"}, pods(server)); diff != "" {
		t.Error(diff)
	}
	if spec, _ := server.Get("/api/v1/nodes/w-1")["spec"].(kubetest.Object); spec["unschedulable"] != true {
		t.Errorf("the node has spec %v", spec)
	}
}

// refuseEvictions answers the first evictions as a PodDisruptionBudget does.
func refuseEvictions(server *kubetest.Server, times int) {
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/web/eviction") || times == 0 {
			return false
		}
		times--
		kubetest.Answer(w, http.StatusTooManyRequests, kubetest.Object{
			"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 429, "reason": "TooManyRequests", "message": "Cannot evict pod.",
			"details": kubetest.Object{"retryAfterSeconds": 10, "causes": []kubetest.Object{{"reason": "DisruptionBudget", "message": "The disruption budget web needs 1 healthy pods"}}},
		})
		return true
	})
}

func TestDrainWaitsForDisruptionBudgets(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	refuseEvictions(server, 1)
	var seen []string
	options := drainOptions()
	options.Progress = func(observation string) { seen = append(seen, observation) }
	if _, err := testClient(t, server).Drain(t.Context(), "w-1", options); err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 || !strings.Contains(seen[0], "shop/web: The disruption budget web needs 1 healthy pods") {
		t.Errorf("observed %q", seen)
	}
}

func TestDrainNamesTheDisruptionBudgetInTheEnd(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	refuseEvictions(server, -1)
	options := drainOptions()
	options.Timeout = time.Second
	_, err := testClient(t, server).Drain(t.Context(), "w-1", options)
	if err == nil || !strings.Contains(err.Error(), "The disruption budget web") {
		t.Errorf("got %v", err)
	}
}

// Nothing terminates without a kubelet.
func TestDrainOfADeadNodeDoesNotWait(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	server.Put("{apiVersion: v1, kind: Node, metadata: {name: w-1}, status: {conditions: [{type: Ready, status: Unknown}]}}")
	server.Put("{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, deletionTimestamp: \"2026-01-01T00:00:00Z\"}, spec: {nodeName: w-1}}")
	if _, err := testClient(t, server).Drain(t.Context(), "w-1", drainOptions()); err != nil {
		t.Error(err)
	}
}

func TestADryRunOfADrainSaysWhatIsEvictedAndWhatIsNot(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	refuseEvictions(server, -1)
	before := pods(server)
	client := dryRunClient(t, server)
	if changed, err := client.Cordon(t.Context(), "w-1", CordonedForRemoval); err != nil || !changed {
		t.Errorf("changed %v, %v", changed, err)
	}
	done, err := client.Drain(t.Context(), "w-1", drainOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := &Drained{Evicted: []string{"shop/alone"}, Unmanaged: []string{"shop/alone"}, Blocked: []string{"shop/web: The disruption budget web needs 1 healthy pods"}}
	if diff := cmp.Diff(want, done, cmpopts.IgnoreUnexported(Drained{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, pods(server)); diff != "" {
		t.Errorf("pods: %s", diff)
	}
}

func TestAnElectionOfEtcdDoesNotFailTheRemovalOfANode(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	var refused sync.Map
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/nodes/") {
			return false
		}
		if _, again := refused.LoadOrStore(r.Method, true); again {
			return false
		}
		kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", "etcdserver: request timed out")
		return true
	})
	client := testClient(t, server)
	node, err := client.Node(t.Context(), "w-1")
	if err != nil {
		t.Fatal(err)
	}
	if deleted, err := client.DeleteNode(t.Context(), "w-1", node.UID); err != nil || !deleted {
		t.Errorf("deleted %v, %v", deleted, err)
	}
}

func TestDeleteNode(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	for _, want := range []bool{true, false} {
		if deleted, err := testClient(t, server).DeleteNode(t.Context(), "w-1", ""); err != nil || deleted != want {
			t.Errorf("deleted %v, %v", deleted, err)
		}
	}
}

package kube

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
)

// podOf returns a pod of a controller, whose UID is its name.
func podOf(kind, owner, name, node, status string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop, uid: %s, ownerReferences: [{apiVersion: apps/v1, kind: %s, name: %s, controller: true, uid: %s}]}, spec: {nodeName: %q}, status: %s}",
		name, name, kind, owner, owner, node, status)
}

func set(kind, name string, replicas int) string {
	return fmt.Sprintf("{apiVersion: apps/v1, kind: %s, metadata: {name: %s, namespace: shop, uid: %s}, spec: {replicas: %d}}", kind, name, name, replicas)
}

const (
	podReady     = `{phase: Running, conditions: [{type: Ready, status: "True"}]}`
	podStarting  = `{phase: Pending, conditions: [{type: Ready, status: "False"}, {type: PodScheduled, status: "True"}]}`
	podNowhere   = `{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/2 nodes are available: 1 node(s) had volume node affinity conflict"}]}`
	nowhereTitle = "0/2 nodes are available: 1 node(s) had volume node affinity conflict"
)

// inMemory returns a client of a server for a bubble of testing/synctest.
func inMemory(t *testing.T) (*Client, *kubetest.Server) {
	t.Helper()
	server := kubetest.NewInMemory(t)
	client, err := New(server.Kubeconfig(""), server.Dial)
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestADrainedNodeWaitsUntilItsPodsAreReadyElsewhere(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// objects exist before the drain of w-1; replaced come when its pods are evicted, and
		// later 20 seconds after that.
		objects, replaced, later []string
		least, most              time.Duration
		stuck                    []string
		err                      string
	}{
		{
			name:     "a pod of a ReplicaSet that starts on another node",
			objects:  []string{set("ReplicaSet", "web", 2), podOf("ReplicaSet", "web", "a", "w-1", podReady), podOf("ReplicaSet", "web", "b", "w-2", podReady)},
			replaced: []string{podOf("ReplicaSet", "web", "c", "w-2", podStarting)},
			later:    []string{podOf("ReplicaSet", "web", "c", "w-2", podReady)},
			least:    20 * time.Second, most: 25 * time.Second,
		},
		{
			name:    "a ReplicaSet that has not created the new pod yet",
			objects: []string{set("ReplicaSet", "web", 2), podOf("ReplicaSet", "web", "a", "w-1", podReady), podOf("ReplicaSet", "web", "b", "w-2", podReady)},
			later:   []string{podOf("ReplicaSet", "web", "c", "w-2", podReady)},
			least:   20 * time.Second, most: 25 * time.Second,
		},
		{
			name:     "a pod of a StatefulSet that starts on another node",
			objects:  []string{set("StatefulSet", "db", 1), podOf("StatefulSet", "db", "db-0", "w-1", podReady)},
			replaced: []string{podOf("StatefulSet", "db", "db-0", "w-2", podStarting)},
			later:    []string{podOf("StatefulSet", "db", "db-0", "w-2", podReady)},
			least:    20 * time.Second, most: 25 * time.Second,
		},
		{
			name:     "a pod whose volume is on the node",
			objects:  []string{set("StatefulSet", "db", 1), podOf("StatefulSet", "db", "db-0", "w-1", podReady)},
			replaced: []string{podOf("StatefulSet", "db", "db-0", "", podNowhere)},
			least:    unschedulableFor, most: unschedulableFor + 6*time.Second, stuck: []string{"shop/db-0: " + nowhereTitle},
		},
		{
			name:     "a workload that was not ready before",
			objects:  []string{set("ReplicaSet", "web", 2), podOf("ReplicaSet", "web", "a", "w-1", podStarting), podOf("ReplicaSet", "web", "b", "w-2", podReady)},
			replaced: []string{podOf("ReplicaSet", "web", "c", "w-2", podStarting)},
		},
		{
			name:     "a rollout that scales the ReplicaSet down meanwhile",
			objects:  []string{set("ReplicaSet", "web", 1), podOf("ReplicaSet", "web", "a", "w-1", podReady), podOf("ReplicaSet", "web", "b", "w-2", podReady)},
			replaced: nil,
		},
		{
			name:    "a ReplicaSet that is deleted meanwhile",
			objects: []string{podOf("ReplicaSet", "web", "a", "w-1", podReady)},
		},
		{
			name:    "a pod of a Job",
			objects: []string{podOf("Job", "backup", "a", "w-1", podReady)},
		},
		{
			name:    "a controller that does not replace its pods",
			objects: []string{podOf("TaskRun", "build", "a", "w-1", podReady)},
		},
		{
			name:     "a controller that slipway does not know, and that replaces its pods",
			objects:  []string{podOf("Cluster", "pg", "a", "w-1", podReady)},
			replaced: []string{podOf("Cluster", "pg", "b", "w-2", podStarting)},
			later:    []string{podOf("Cluster", "pg", "b", "w-2", podReady)},
			least:    20 * time.Second, most: 25 * time.Second,
		},
		{
			name:     "a pod that never gets ready",
			objects:  []string{set("ReplicaSet", "web", 1), podOf("ReplicaSet", "web", "a", "w-1", podReady)},
			replaced: []string{podOf("ReplicaSet", "web", "c", "w-2", `{phase: Running, containerStatuses: [{name: web, image: web:1, state: {waiting: {reason: CrashLoopBackOff, message: back-off}}}]}`)},
			err:      "replicaset shop/web: 0 of 1 pods ready; c on w-2: web: CrashLoopBackOff", least: time.Minute, most: 70 * time.Second,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, server := inMemory(t)
				server.Put(ready("w-1"))
				for _, object := range test.objects {
					server.Put(object)
				}
				done, err := client.Drain(t.Context(), "w-1", WaitOptions{Timeout: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				for _, object := range test.replaced {
					server.Put(object)
				}
				time.AfterFunc(20*time.Second, func() {
					for _, object := range test.later {
						server.Put(object)
					}
				})
				start := time.Now()
				stuck, err := client.Replaced(t.Context(), done, WaitOptions{Timeout: time.Minute})
				if took := time.Since(start); took < test.least || took > test.most+time.Second {
					t.Errorf("took %s, want %s to %s", took, test.least, test.most)
				}
				if diff := cmp.Diff(test.stuck, stuck); diff != "" {
					t.Error(diff)
				}
				if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
					t.Errorf("got %v, want %q", err, test.err)
				}
			})
		})
	}
}

func ready(node string) string {
	return "{apiVersion: v1, kind: Node, metadata: {name: " + node + "}, status: {conditions: [{type: Ready, status: 'True'}]}}"
}

func TestADryRunDoesNotWaitForPodsElsewhere(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(podOf("ReplicaSet", "web", "a", "w-1", podReady))
	client := dryRunClient(t, server)
	done, err := client.Drain(t.Context(), "w-1", drainOptions())
	if err != nil {
		t.Fatal(err)
	}
	if stuck, err := client.Replaced(t.Context(), done, drainOptions()); err != nil || stuck != nil {
		t.Errorf("got %v, %v", stuck, err)
	}
}

func TestPodsThatFitNowhereElseAreReadyAgainAfterTheTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := inMemory(t)
		// The node was cordoned at noon.
		server.Put("{apiVersion: v1, kind: Node, metadata: {name: w-1}, spec: {unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule, timeAdded: '2026-01-01T12:00:00Z'}]}}")
		created := func(pod, at string) string {
			return strings.Replace(pod, "metadata: {", "metadata: {creationTimestamp: '2026-01-01T"+at+":00Z', ", 1)
		}
		for _, name := range []string{"back", "elsewhere", "nowhere", "deleted"} {
			server.Put(created(podOf("StatefulSet", name, name, "", podNowhere), "12:05"))
		}
		server.Put(created(podOf("StatefulSet", "before", "before", "", podNowhere), "11:00"))
		server.Put(podOf("StatefulSet", "starting", "starting", "w-1", podStarting))
		pods, err := client.Unschedulable(t.Context(), "w-1")
		if err != nil || len(pods) != 4 {
			t.Fatalf("%d pods, %v", len(pods), err)
		}
		server.Put(podOf("StatefulSet", "back", "back", "w-1", podStarting))
		server.Put(podOf("StatefulSet", "elsewhere", "elsewhere", "w-2", podStarting))
		server.Put(strings.Replace(podOf("StatefulSet", "deleted", "deleted", "", podNowhere), "uid: deleted, owner", "uid: another, owner", 1))
		time.AfterFunc(30*time.Second, func() { server.Put(podOf("StatefulSet", "back", "back", "w-1", podReady)) })
		start := time.Now()
		if err := client.Returned(t.Context(), "w-1", pods, WaitOptions{Timeout: time.Minute}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 30*time.Second || took > 36*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestADryRunListsPodsThatCanNeverBeEvicted(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(nodeWithPods)
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/web/eviction") {
			return false
		}
		kubetest.Refuse(w, http.StatusInternalServerError, "", "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
		return true
	})
	done, err := dryRunClient(t, server).Drain(t.Context(), "w-1", drainOptions())
	if err != nil || len(done.Blocked) != 1 || !strings.Contains(done.Blocked[0], "shop/web: This pod has more than one PodDisruptionBudget") {
		t.Errorf("blocked %v, %v", done, err)
	}
	if _, err := testClient(t, server).Drain(t.Context(), "w-1", drainOptions()); err == nil || !strings.Contains(err.Error(), "evict pod shop/web: This pod has more than one") {
		t.Errorf("got %v", err)
	}
}

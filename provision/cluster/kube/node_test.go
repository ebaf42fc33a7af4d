package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kubetest"
)

const nodePath = "/api/v1/nodes/cp-1"

const kubeadmNode = `
apiVersion: v1
kind: Node
metadata: {name: cp-1, labels: {kubernetes.io/hostname: cp-1}}
spec:
  taints:
  - {key: node-role.kubernetes.io/control-plane, effect: NoSchedule}
  - {key: node.kubernetes.io/not-ready, effect: NoExecute}`

// marks are the labels, and the taints as "key=value:effect".
func marks(t *testing.T, server *kubetest.Server) (map[string]string, []string) {
	t.Helper()
	text, err := json.Marshal(server.Get(nodePath))
	if err != nil {
		t.Fatal(err)
	}
	var node corev1.Node
	if err := json.Unmarshal(text, &node); err != nil {
		t.Fatal(err)
	}
	var taints []string
	for _, taint := range node.Spec.Taints {
		taints = append(taints, fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect))
	}
	return node.Labels, taints
}

func TestSetNodeFollowsTheInventoryAndKeepsTheMarksOfOthers(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(kubeadmNode)
	client := testClient(t, server)
	const (
		controlPlane = "node-role.kubernetes.io/control-plane=:NoSchedule"
		notReady     = "node.kubernetes.io/not-ready=:NoExecute"
	)
	gpu := corev1.Taint{Key: "gpu", Value: "a", Effect: corev1.TaintEffectNoSchedule}
	otherGPU := corev1.Taint{Key: "gpu", Value: "b", Effect: corev1.TaintEffectNoSchedule}
	steps := []struct {
		name       string
		labels     map[string]string
		taints     []corev1.Taint
		changed    bool
		wantLabels map[string]string
		wantTaints []string
	}{
		{"labels only", map[string]string{"zone": "a"}, nil, true, map[string]string{"zone": "a"}, []string{controlPlane, notReady}},
		{"the same again", map[string]string{"zone": "a"}, nil, false, map[string]string{"zone": "a"}, []string{controlPlane, notReady}},
		{
			"another label and taints instead of kubeadm's",
			map[string]string{"rack": "7"},
			[]corev1.Taint{gpu},
			true,
			map[string]string{"rack": "7"},
			[]string{notReady, "gpu=a:NoSchedule"},
		},
		{"the same again", map[string]string{"rack": "7"}, []corev1.Taint{gpu}, false, map[string]string{"rack": "7"}, []string{notReady, "gpu=a:NoSchedule"}},
		{"another value", map[string]string{"rack": "7"}, []corev1.Taint{otherGPU}, true, map[string]string{"rack": "7"}, []string{notReady, "gpu=b:NoSchedule"}},
		{"nothing any more", nil, []corev1.Taint{}, true, nil, []string{notReady}},
		{"still nothing", nil, nil, false, nil, []string{notReady}},
	}
	for _, step := range steps { // each starts from the one before
		changed, _, err := client.SetNode(t.Context(), "cp-1", step.labels, step.taints)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if changed != step.changed {
			t.Errorf("%s: changed = %v", step.name, changed)
		}
		labels, taints := marks(t, server)
		if labels["kubernetes.io/hostname"] != "cp-1" {
			t.Errorf("%s: kubelet's label is gone", step.name)
		}
		delete(labels, "kubernetes.io/hostname")
		if diff := cmp.Diff(len(step.wantLabels), len(labels)); diff != "" {
			t.Errorf("%s: labels %v", step.name, labels)
		}
		for key, value := range step.wantLabels {
			if labels[key] != value {
				t.Errorf("%s: label %s is %q, want %q", step.name, key, labels[key], value)
			}
		}
		if diff := cmp.Diff(step.wantTaints, taints); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

func TestSetNodeRetriesTaintsAfterAConflict(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(kubeadmNode)
	var conflicted atomic.Bool
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Content-Type") != "application/merge-patch+json" || conflicted.Swap(true) {
			return false
		}
		kubetest.Refuse(w, http.StatusConflict, "Conflict", "the object has been modified")
		return true
	})
	if _, _, err := testClient(t, server).SetNode(t.Context(), "cp-1", nil, []corev1.Taint{}); err != nil {
		t.Fatal(err)
	}
	_, taints := marks(t, server)
	if diff := cmp.Diff([]string{"node.kubernetes.io/not-ready=:NoExecute"}, taints); diff != "" {
		t.Error(diff)
	}
}

func TestSetNodeReportsTaintsWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(kubeadmNode)
	client := testClient(t, server)
	var patches atomic.Int32
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Content-Type") != "application/merge-patch+json" || patches.Add(1) > 1 {
			return false
		}
		// The server does it, and times out before it answers.
		if _, _, err := client.SetNode(t.Context(), "cp-1", nil, []corev1.Taint{}); err != nil {
			t.Error(err)
		}
		kubetest.Refuse(w, http.StatusGatewayTimeout, "Timeout", "request did not complete within the allotted timeout")
		return true
	})
	changed, _, err := client.SetNode(t.Context(), "cp-1", nil, []corev1.Taint{})
	if err != nil {
		t.Fatal(err)
	}
	if !changed || patches.Load() != 2 {
		t.Errorf("changed is %v after %d patches, want true after 2: its own and the one that did it", changed, patches.Load())
	}
	_, taints := marks(t, server)
	if diff := cmp.Diff([]string{"node.kubernetes.io/not-ready=:NoExecute"}, taints); diff != "" {
		t.Error(diff)
	}
}

func TestSetNodeDoesNotCreateANode(t *testing.T) {
	t.Parallel()
	t.Run("that does not exist", func(t *testing.T) {
		t.Parallel()
		server := kubetest.New(t)
		if _, _, err := testClient(t, server).SetNode(t.Context(), "cp-1", map[string]string{"zone": "a"}, nil); err == nil {
			t.Error("no error")
		}
		if server.Get(nodePath) != nil {
			t.Error("a node was created")
		}
	})
	t.Run("that is deleted meanwhile", func(t *testing.T) {
		t.Parallel()
		server := kubetest.New(t)
		server.Put(kubeadmNode)
		client := testClient(t, server)
		server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				// Before the server handles the apply.
				if err := client.Clientset().CoreV1().Nodes().Delete(t.Context(), "cp-1", metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			}
			return false
		})
		if _, _, err := client.SetNode(t.Context(), "cp-1", map[string]string{"zone": "a"}, nil); err == nil {
			t.Error("no error")
		}
		if server.Get(nodePath) != nil {
			t.Error("the node was recreated")
		}
	})
}

func TestNodesAreSetThroughTimeouts(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(kubeadmNode)
	client := testClient(t, server)
	// Each kind of request is refused once.
	var refused sync.Map
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, nodePath) {
			return false
		}
		if _, again := refused.LoadOrStore(r.Method+r.Header.Get("Content-Type")+r.URL.Query().Get("dryRun"), true); again {
			return false
		}
		kubetest.Refuse(w, http.StatusGatewayTimeout, "Timeout", "request did not complete within requested timeout")
		return true
	})
	labels := map[string]string{"zone": "a"}
	if planned, _, err := dryRunClient(t, server).SetNode(t.Context(), "cp-1", labels, []corev1.Taint{}); err != nil || !planned {
		t.Errorf("dry run: %t, %v", planned, err)
	}
	if has, taints := marks(t, server); has["zone"] != "" || len(taints) != 2 {
		t.Errorf("the dry run has set labels %v, taints %v", has, taints)
	}
	if changed, _, err := client.SetNode(t.Context(), "cp-1", labels, []corev1.Taint{}); err != nil || !changed {
		t.Errorf("set: %t, %v", changed, err)
	}
	if has, taints := marks(t, server); has["zone"] != "a" || len(taints) != 1 {
		t.Errorf("labels %v, taints %v", has, taints)
	}
	kinds := 0
	refused.Range(func(any, any) bool { kinds++; return true })
	if kinds != 5 {
		t.Errorf("%d kinds of requests were refused, want get, apply, patch and the dry runs of both", kinds)
	}
}

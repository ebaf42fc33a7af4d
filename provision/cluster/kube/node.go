package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/retry"
)

// taintsAnnotation lists the taints that slipway has set on a Node, as
// "key:effect,key:effect". To server-side apply a Node's taints are one atomic
// list, which has no owner for each taint.
const taintsAnnotation = "slipway.io/taints"

// controlPlaneTaint is what kubeadm sets on control planes unless
// nodeRegistration.taints says otherwise. The inventory's taints replace it.
const controlPlaneTaint = "node-role.kubernetes.io/control-plane"

// SetNode sets a Node's labels and taints, and reports whether that changed the
// Node. Labels and taints that slipway set earlier and that are no longer given
// are removed; those of others stay. If taints is nil (not empty), kubeadm's
// control-plane taint stays. The diff shows labels and taints as YAML.
func (c *Client) SetNode(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) (changed bool, diff string, err error) {
	old, before, tainted, err := c.setTaints(ctx, name, taints)
	if err != nil {
		return tainted, "", fmt.Errorf("node %s: set taints: %w", name, err)
	}
	after, err := c.applyMarks(ctx, before, labels, taints)
	if err != nil {
		return tainted, "", fmt.Errorf("node %s: set labels: %w", name, err)
	}
	changed = tainted || !sameMarks(before, after)
	if changed {
		// A dry run sets the taints of the first answer only.
		diff, err = diffMarks(old, after.Labels, before.Spec.Taints)
	}
	return changed, diff, err
}

// diffMarks returns the diff of a Node's labels and taints.
func diffMarks(node *corev1.Node, labels map[string]string, taints []corev1.Taint) (string, error) {
	var objects [2]map[string]any
	for i, marks := range []corev1.Node{
		{ObjectMeta: metav1.ObjectMeta{Labels: node.Labels}, Spec: corev1.NodeSpec{Taints: node.Spec.Taints}},
		{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.NodeSpec{Taints: taints}},
	} {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&marks)
		if err != nil {
			return "", err
		}
		objects[i] = object
	}
	return unifiedDiff(&unstructured.Unstructured{Object: objects[0]}, &unstructured.Unstructured{Object: objects[1]})
}

// applyMarks applies the labels, and the annotation that lists the taints.
func (c *Client) applyMarks(ctx context.Context, before *corev1.Node, labels map[string]string, taints []corev1.Taint) (*corev1.Node, error) {
	// With the UID the server does not create a Node that was just deleted.
	node := applycorev1.Node(before.Name).WithUID(before.UID).WithLabels(labels)
	if names := taintNames(taints); names != "" {
		node.WithAnnotations(map[string]string{taintsAnnotation: names})
	}
	return retried(ctx, func() (*corev1.Node, error) {
		return c.clientset.CoreV1().Nodes().Apply(ctx, node, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	})
}

// sameMarks compares what applyMarks changes: kubelet's heartbeat changes the
// resource version at any time.
func sameMarks(a, b *corev1.Node) bool {
	return maps.Equal(a.Labels, b.Labels) && a.Annotations[taintsAnnotation] == b.Annotations[taintsAnnotation]
}

// setTaints replaces the Node's list of taints if its resource version is still
// the same, since others (the node lifecycle controller) write it too. It returns
// the Node as it was, and as it is afterwards.
func (c *Client) setTaints(ctx context.Context, name string, taints []corev1.Taint) (old, node *corev1.Node, changed bool, err error) {
	nodes := c.clientset.CoreV1().Nodes()
	once := func() error {
		node, err = nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if old == nil {
			old = node
		}
		wanted := wantedTaints(node, taints)
		if slices.EqualFunc(node.Spec.Taints, wanted, sameTaint) {
			return nil
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": node.ResourceVersion},
			"spec":     map[string]any{"taints": wanted},
		})
		if err != nil {
			return err
		}
		node, err = nodes.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
		// Without an answer it may have been done; the retry then finds no difference.
		changed = changed || err == nil || transient(err)
		return err
	}
	err = retryTransient(ctx, func() error { return retry.RetryOnConflict(retry.DefaultBackoff, once) })
	return old, node, changed, err
}

// wantedTaints keeps the Node's other taints in their order, drops slipway's old
// ones and adds the given ones.
func wantedTaints(node *corev1.Node, taints []corev1.Taint) []corev1.Taint {
	own := strings.Split(node.Annotations[taintsAnnotation], ",")
	wanted := []corev1.Taint{}
	for _, taint := range node.Spec.Taints {
		given := slices.IndexFunc(taints, func(t corev1.Taint) bool { return t.MatchTaint(&taint) })
		ours := slices.Contains(own, taintName(taint)) || taints != nil && taint.Key == controlPlaneTaint
		switch {
		case given >= 0:
			taint.Value = taints[given].Value
			wanted = append(wanted, taint)
		case !ours:
			wanted = append(wanted, taint)
		}
	}
	for _, taint := range taints {
		if !slices.ContainsFunc(wanted, func(t corev1.Taint) bool { return t.MatchTaint(&taint) }) {
			wanted = append(wanted, taint)
		}
	}
	return wanted
}

func sameTaint(a, b corev1.Taint) bool { return a.MatchTaint(&b) && a.Value == b.Value }

func taintName(taint corev1.Taint) string { return taint.Key + ":" + string(taint.Effect) }

func taintNames(taints []corev1.Taint) string {
	var names []string
	for _, taint := range taints {
		names = append(names, taintName(taint))
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

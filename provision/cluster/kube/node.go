package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/retry"
)

// taintsAnnotation lists the taints that slipway has set on a Node, as
// "key:effect,key:effect". A Node's taints are one atomic list to server-side
// apply, so that their owner cannot be kept there.
const taintsAnnotation = "slipway.io/taints"

// controlPlaneTaint is what kubeadm puts on control planes unless
// nodeRegistration.taints says otherwise. Where an inventory names taints, it
// replaces this one.
const controlPlaneTaint = "node-role.kubernetes.io/control-plane"

// SetNode makes a Node carry the given labels and taints, and says whether
// that changed it. Labels and taints that slipway set earlier and that are no
// longer given are removed; those of others stay. With taints nil (not: empty)
// kubeadm's control-plane taint is left as it is.
func (c *Client) SetNode(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) (changed bool, err error) {
	before, tainted, err := c.setTaints(ctx, name, taints)
	if err != nil {
		return tainted, fmt.Errorf("node %s: set taints: %w", name, err)
	}
	after, err := c.applyMarks(ctx, before, labels, taints, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return tainted, fmt.Errorf("node %s: set labels: %w", name, err)
	}
	return tainted || !sameMarks(before, after), nil
}

// applyMarks applies the labels, and the annotation that lists the taints.
func (c *Client) applyMarks(ctx context.Context, before *corev1.Node, labels map[string]string, taints []corev1.Taint, options metav1.ApplyOptions) (*corev1.Node, error) {
	// The UID makes the server refuse to create a Node that has just gone.
	node := applycorev1.Node(before.Name).WithUID(before.UID).WithLabels(labels)
	if names := taintNames(taints); names != "" {
		node.WithAnnotations(map[string]string{taintsAnnotation: names})
	}
	return retried(ctx, func() (*corev1.Node, error) { return c.clientset.CoreV1().Nodes().Apply(ctx, node, options) })
}

// sameMarks compares what SetNode changes: kubelet's heartbeat changes the
// resource version at any time.
func sameMarks(a, b *corev1.Node) bool {
	return maps.Equal(a.Labels, b.Labels) && a.Annotations[taintsAnnotation] == b.Annotations[taintsAnnotation]
}

// setTaints replaces the Node's list of taints under its resource version,
// since others (the node lifecycle controller) write it too. The Node is as it
// is afterwards.
func (c *Client) setTaints(ctx context.Context, name string, taints []corev1.Taint) (node *corev1.Node, changed bool, err error) {
	nodes := c.clientset.CoreV1().Nodes()
	once := func() error {
		node, err = nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
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
		// Without an answer it may have been done, and the next look finds it so.
		changed = changed || err == nil || transient(err)
		return err
	}
	err = retryTransient(ctx, func() error { return retry.RetryOnConflict(retry.DefaultBackoff, once) })
	return node, changed, err
}

// wantedTaints keeps the Node's foreign taints in their order, drops slipway's
// old ones and adds the given ones.
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

// DeleteNode removes a Node from the API. One that is gone is no error.
func (c *Client) DeleteNode(ctx context.Context, name string) error {
	err := retryTransient(ctx, func() error { return c.clientset.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}) })
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", name, err)
	}
	return nil
}

// PlanNode says whether SetNode would change the Node, as the server sees it.
// It changes nothing.
func (c *Client) PlanNode(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) (bool, error) {
	before, err := retried(ctx, func() (*corev1.Node, error) {
		return c.clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	})
	if err != nil {
		return apierrors.IsNotFound(err), ignoreNotFound(err)
	}
	after, err := c.applyMarks(ctx, before, labels, taints, metav1.ApplyOptions{FieldManager: FieldManager, Force: true, DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return false, fmt.Errorf("node %s: plan labels: %w", name, err)
	}
	wanted := wantedTaints(before, taints)
	return !sameMarks(before, after) || !slices.EqualFunc(before.Spec.Taints, wanted, sameTaint), nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// cordonedAnnotation marks Nodes that slipway has cordoned. Its value is the reason.
const cordonedAnnotation = "slipway.io/cordoned"

// CordonReason is why slipway has cordoned a Node.
type CordonReason string

// Reasons to cordon a Node. Releases that knew no reasons wrote "true" for nodes that
// leave.
const (
	CordonedForRoll        CordonReason = "roll"
	CordonedForRemoval     CordonReason = "removal"
	CordonedForMaintenance CordonReason = "maintenance"

	cordonedBefore CordonReason = "true"
)

// CordonedBySlipway returns why slipway has cordoned a Node. It is empty for a Node that
// is not cordoned, or that somebody else has cordoned.
func CordonedBySlipway(node *corev1.Node) CordonReason {
	reason := CordonReason(node.Annotations[cordonedAnnotation])
	switch {
	case !node.Spec.Unschedulable:
		return "" // somebody else has uncordoned it
	case reason == cordonedBefore:
		return CordonedForRemoval
	}
	return reason
}

// Cordon keeps new pods from a Node, and reports whether that changed the Node. A Node
// that does not exist needs nothing. A Node that is cordoned keeps its reason, except that
// maintenance replaces the reasons of work that was interrupted: what somebody else has
// cordoned stays theirs.
func (c *Client) Cordon(ctx context.Context, name string, reason CordonReason) (changed bool, err error) {
	node, err := c.Node(ctx, name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if before := CordonedBySlipway(node); node.Spec.Unschedulable && (before == "" || before == reason || reason != CordonedForMaintenance) {
		return false, nil
	}
	if err := c.setCordon(ctx, name, true, string(reason)); err != nil {
		return false, fmt.Errorf("cordon node %s: %w", name, err)
	}
	return true, nil
}

// Uncordon lets new pods run on a Node that slipway has cordoned for one of the reasons,
// and reports whether that changed the Node. Any other Node stays as it is.
func (c *Client) Uncordon(ctx context.Context, name string, reasons ...CordonReason) (changed bool, err error) {
	node, err := c.Node(ctx, name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, marked := node.Annotations[cordonedAnnotation]
	outdated := marked && !node.Spec.Unschedulable // it would claim the next cordon of somebody else
	changed = slices.Contains(reasons, CordonedBySlipway(node))
	if !changed && !outdated {
		return false, nil
	}
	if err := c.setCordon(ctx, name, nil, nil); err != nil {
		return false, fmt.Errorf("uncordon node %s: %w", name, err)
	}
	return changed, nil
}

// setCordon sets whether a Node is cordoned, and the annotation; nil removes a field.
func (c *Client) setCordon(ctx context.Context, name string, unschedulable, reason any) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{cordonedAnnotation: reason}},
		"spec":     map[string]any{"unschedulable": unschedulable},
	})
	if err != nil {
		return err
	}
	_, err = retried(ctx, func() (*corev1.Node, error) {
		return c.clientset.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	})
	return err
}

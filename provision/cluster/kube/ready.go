package kube

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Ready: each of the objects is current by the rules of kstatus, and a DaemonSet
// has at least one pod. An object that was ready once is not checked again by the
// same Condition.
func Ready(what string, objects []*unstructured.Unstructured) Condition {
	left := objects
	return Condition{Name: what + " ready", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		var waiting []*unstructured.Unstructured
		var seen []string
		for _, object := range left {
			ready, why, err := c.objectReady(ctx, object)
			if err != nil {
				why = err.Error()
			}
			if !ready {
				waiting = append(waiting, object)
				seen = append(seen, title(object)+": "+why)
			}
		}
		left = waiting
		return len(waiting) == 0, strings.Join(seen, "; "), nil
	}}
}

// objectReady checks one object. The conditions for workloads say what is wrong
// with their pods.
func (c *Client) objectReady(ctx context.Context, object *unstructured.Unstructured) (bool, string, error) {
	kind, namespace, name := object.GroupVersionKind().GroupKind(), object.GetNamespace(), object.GetName()
	if kind.Group == "apps" {
		switch kind.Kind {
		case "DaemonSet":
			return DaemonSetReady(namespace, name).Check(ctx, c)
		case "Deployment":
			return DeploymentReady(namespace, name).Check(ctx, c)
		}
	}
	resource, err := c.resourceFor(object)
	if meta.IsNoMatchError(err) {
		return false, "the cluster does not serve its kind", nil
	}
	if err != nil {
		return false, "", err
	}
	now, err := resource.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, "does not exist", nil
	}
	if err != nil {
		return false, "", err
	}
	result, err := status.Compute(now)
	if err != nil {
		return false, "", fmt.Errorf("status of %s: %w", title(object), err)
	}
	if result.Status == status.CurrentStatus {
		return true, result.Message, nil
	}
	return false, result.Message + c.podsOf(ctx, now), nil
}

// podsOf says what is wrong with the pods of a StatefulSet or a Job.
func (c *Client) podsOf(ctx context.Context, object *unstructured.Unstructured) string {
	selector, found, err := unstructured.NestedMap(object.Object, "spec", "selector")
	if err != nil || !found {
		return ""
	}
	var typed metav1.LabelSelector
	if runtime.DefaultUnstructuredConverter.FromUnstructured(selector, &typed) != nil {
		return ""
	}
	return c.unreadyPods(ctx, object.GetNamespace(), &typed)
}

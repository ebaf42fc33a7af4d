package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// APIReady: the API server's /readyz answers ok, which includes etcd and the
// bootstrap roles of RBAC.
func APIReady() Condition {
	return Condition{Name: "API server ready", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		body, err := c.clientset.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			return true, "ok", nil
		}
		if failed := failedChecks(string(body)); failed != "" {
			return false, "/readyz: not ready: " + failed, nil
		}
		return false, "", fmt.Errorf("/readyz: %w", err)
	}}
}

// failedChecks returns the names of the failed checks in the body of /readyz:
// "[-]etcd failed: reason withheld".
func failedChecks(body string) string {
	var failed []string
	for line := range strings.Lines(body) {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ = strings.Cut(name, " ")
			failed = append(failed, name)
		}
	}
	return strings.Join(failed, ", ")
}

// NodeRegistered: the Node exists, ready or not.
func NodeRegistered(name string) Condition {
	return Condition{
		Name: "node " + name + " registered",
		Check: func(ctx context.Context, c *Client) (bool, string, error) {
			_, err := c.clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return false, "not registered yet", nil
			}
			return err == nil, "registered", err
		},
	}
}

// NodesReady: the named Nodes are registered and ready. Other Nodes do not count.
func NodesReady(names ...string) Condition {
	return Condition{Name: "nodes ready", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		nodes, err := c.clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		missing := slices.Clone(names)
		var problems []string
		for i := range nodes.Items {
			node := &nodes.Items[i]
			if !slices.Contains(names, node.Name) {
				continue
			}
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == node.Name })
			if ready, why := NodeIsReady(node); !ready {
				problems = append(problems, node.Name+": "+why)
			}
		}
		for _, name := range missing {
			problems = append(problems, name+": not registered")
		}
		return len(problems) == 0, strings.Join(problems, "; "), nil
	}}
}

// NodeIsReady reads a Node's Ready condition; why is the kubelet's reason.
func NodeIsReady(node *corev1.Node) (ready bool, why string) {
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		if condition.Status == corev1.ConditionTrue {
			return true, "Ready"
		}
		return false, fmt.Sprintf("not Ready: %s: %s", condition.Reason, condition.Message)
	}
	return false, "its kubelet has not reported yet"
}

// ServiceAccountExists: the controller has created the ServiceAccount, without
// which no Pod of its namespace is admitted.
func ServiceAccountExists(namespace, name string) Condition {
	what := fmt.Sprintf("service account %s/%s", namespace, name)
	return Condition{Name: what, Check: func(ctx context.Context, c *Client) (bool, string, error) {
		_, err := c.clientset.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, what + " does not exist", nil
		}
		return err == nil, "", err
	}}
}

// crdEstablished: the kinds of a CustomResourceDefinition are served.
func crdEstablished(name string) Condition {
	crds := schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}
	return Condition{Name: "CRD " + name + " established", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		crd, err := c.dynamic.Resource(crds).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
		if err != nil {
			return false, "", err
		}
		seen := "not established yet"
		for _, item := range conditions {
			condition, _ := item.(map[string]any)
			if condition["type"] == "Established" && condition["status"] == "True" {
				return true, "established", nil
			}
			if condition["type"] == "NamesAccepted" && condition["status"] == "False" {
				seen = fmt.Sprintf("names not accepted: %v", condition["message"])
			}
		}
		return false, seen, nil
	}}
}

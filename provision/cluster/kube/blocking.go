package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Blocked is a pod whose eviction its PodDisruptionBudget does not allow now.
type Blocked struct {
	// Node, Pod ("namespace/name") and Budgets, in the same namespace, are their names.
	Node    string   `json:"node"`
	Pod     string   `json:"pod"`
	Budgets []string `json:"budgets"`
	// Workload is what the pod belongs to, "deployment shop/web"; empty if no controller
	// owns it.
	Workload string `json:"workload,omitempty"`
	// Why says why the eviction is not allowed.
	Why string `json:"why"`
	// Never: the eviction is not allowed either when all pods are ready.
	Never bool `json:"never"`
}

func (b Blocked) String() string {
	text := fmt.Sprintf("PodDisruptionBudget %s blocks pod %s", strings.Join(b.Budgets, ", "), b.Pod)
	if b.Workload != "" {
		text += " of " + b.Workload
	}
	return text + " on node " + b.Node + ": " + b.Why
}

// Blocking returns the pods of Nodes whose eviction a PodDisruptionBudget does not allow
// now, by the rules of the API server. Without names, it looks at all Nodes.
func (c *Client) Blocking(ctx context.Context, nodes ...string) ([]Blocked, error) {
	budgets, err := retried(ctx, func() (*policyv1.PodDisruptionBudgetList, error) {
		return c.clientset.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	})
	if err != nil || len(budgets.Items) == 0 {
		return nil, err
	}
	pods, err := retried(ctx, func() (*corev1.PodList, error) {
		return c.clientset.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	})
	if err != nil {
		return nil, err
	}
	deployments, err := c.deploymentsOf(ctx)
	if err != nil {
		return nil, err
	}
	var blocked []Blocked
	for i := range pods.Items {
		pod := &pods.Items[i]
		elsewhere := pod.Spec.NodeName == "" || len(nodes) > 0 && !slices.Contains(nodes, pod.Spec.NodeName)
		// The API server evicts a pod that has not started without asking its budget.
		if elsewhere || stays(pod) || pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodPending {
			continue
		}
		names, why, never := budgetRefusal(pod, budgets.Items)
		if why == "" {
			continue
		}
		blocked = append(blocked, Blocked{
			Node: pod.Spec.NodeName, Pod: pod.Namespace + "/" + pod.Name, Budgets: names, Workload: workloadOf(pod, deployments), Why: why, Never: never,
		})
	}
	slices.SortFunc(blocked, func(a, b Blocked) int { return strings.Compare(a.Node+" "+a.Pod, b.Node+" "+b.Pod) })
	return blocked, nil
}

// budgetRefusal returns why the budgets of a pod do not allow its eviction, and whether they
// ever will. why is empty if they do.
func budgetRefusal(pod *corev1.Pod, budgets []policyv1.PodDisruptionBudget) (names []string, why string, never bool) {
	var own []*policyv1.PodDisruptionBudget
	for i := range budgets {
		selector, err := metav1.LabelSelectorAsSelector(budgets[i].Spec.Selector)
		if err == nil && budgets[i].Namespace == pod.Namespace && selector.Matches(labels.Set(pod.Labels)) {
			own, names = append(own, &budgets[i]), append(names, budgets[i].Name)
		}
	}
	if len(own) == 0 {
		return nil, "", false
	}
	if len(own) > 1 {
		return names, "Kubernetes does not evict a pod that several budgets select", true
	}
	budget := own[0]
	status, policy := budget.Status, budget.Spec.UnhealthyPodEvictionPolicy
	healthy := status.CurrentHealthy >= status.DesiredHealthy && status.DesiredHealthy > 0
	alwaysAllowed := policy != nil && *policy == policyv1.AlwaysAllow
	failed := meta.FindStatusCondition(status.Conditions, policyv1.DisruptionAllowedCondition)
	switch {
	case !isReady(pod) && (alwaysAllowed || healthy):
		return nil, "", false
	case status.ObservedGeneration < budget.Generation:
		return nil, "", false // its controller computes it in a moment
	case status.DisruptionsAllowed > 0:
		return nil, "", false
	case failed != nil && failed.Reason == policyv1.SyncFailedReason:
		return names, "its controller cannot compute it: " + failed.Message, true
	case status.DesiredHealthy >= status.ExpectedPods:
		return names, fmt.Sprintf("it wants %d healthy of %d pods, and so never allows an eviction", status.DesiredHealthy, status.ExpectedPods), true
	}
	return names, fmt.Sprintf("it wants %d healthy of %d pods, and has %d", status.DesiredHealthy, status.ExpectedPods, status.CurrentHealthy), false
}

// deploymentsOf returns the Deployment of each ReplicaSet, "namespace/name".
func (c *Client) deploymentsOf(ctx context.Context) (map[string]string, error) {
	sets, err := c.clientset.AppsV1().ReplicaSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	deployments := map[string]string{}
	for i := range sets.Items {
		set := &sets.Items[i]
		if owner := metav1.GetControllerOf(set); owner != nil && owner.Kind == "Deployment" {
			deployments[set.Namespace+"/"+set.Name] = owner.Name
		}
	}
	return deployments, nil
}

// workloadOf names the Deployment or other controller of a pod.
func workloadOf(pod *corev1.Pod, deployments map[string]string) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return ""
	}
	if name := deployments[pod.Namespace+"/"+owner.Name]; name != "" && owner.Kind == "ReplicaSet" {
		return "deployment " + pod.Namespace + "/" + name
	}
	return strings.ToLower(owner.Kind) + " " + pod.Namespace + "/" + owner.Name
}

package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
)

// DNSReplicas is where the pods of CoreDNS run, and where they could run.
type DNSReplicas struct {
	// Wanted is how many the Deployment has; 0 if there is no Deployment.
	Wanted int
	// Nodes can take a replica: they are ready, not cordoned, and CoreDNS tolerates
	// their taints. Sorted.
	Nodes []string
	// Settling are ready nodes that can take a replica in a moment: their taints say
	// that they have just become ready, or that their pod network starts. Sorted.
	Settling []string

	// pods are those that stay, sorted by name.
	pods []corev1.Pod
}

// ReadDNSReplicas reads where CoreDNS runs.
func (c *Client) ReadDNSReplicas(ctx context.Context) (DNSReplicas, error) {
	var d DNSReplicas
	deployment, err := c.clientset.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, coreDNS, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	d.Wanted = 1
	if replicas := deployment.Spec.Replicas; replicas != nil {
		d.Wanted = int(*replicas)
	}
	pods, err := c.dnsPods(ctx)
	if err != nil {
		return d, err
	}
	d.pods = pods
	nodes, err := c.clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return d, err
	}
	for i := range nodes.Items {
		switch takes, settles := takes(&nodes.Items[i], deployment.Spec.Template.Spec); {
		case takes:
			d.Nodes = append(d.Nodes, nodes.Items[i].Name)
		case settles:
			d.Settling = append(d.Settling, nodes.Items[i].Name)
		}
	}
	slices.Sort(d.Nodes)
	slices.Sort(d.Settling)
	return d, nil
}

// dnsPods returns the pods of CoreDNS that are not being deleted, sorted by name.
func (c *Client) dnsPods(ctx context.Context) ([]corev1.Pod, error) {
	list, err := c.clientset.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: coreDNSSelector})
	if err != nil {
		return nil, err
	}
	pods := slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// takes reports whether the scheduler may place a pod on the node, as far as its
// condition, its taints and the pod's nodeSelector say; settles, whether it may when the
// taints are gone that the node controller removes by itself from a ready node.
func takes(node *corev1.Node, pod corev1.PodSpec) (takes, settles bool) {
	ready, _ := NodeIsReady(node)
	if !ready || node.Spec.Unschedulable || !labels.SelectorFromSet(pod.NodeSelector).Matches(labels.Set(node.Labels)) {
		return false, false
	}
	takes = true
	for _, taint := range node.Spec.Taints {
		tolerated := slices.ContainsFunc(pod.Tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(klog.Background(), &taint, false) })
		switch {
		case taint.Effect == corev1.TaintEffectPreferNoSchedule || tolerated:
		case taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeNetworkUnavailable:
			takes = false
		default:
			return false, false
		}
	}
	return takes, !takes
}

// ReadyOn returns the nodes of the ready pods, each once, sorted.
func (d DNSReplicas) ReadyOn() []string {
	var nodes []string
	for i := range d.pods {
		if ready, _ := PodIsReady(&d.pods[i]); ready {
			nodes = append(nodes, d.pods[i].Spec.NodeName)
		}
	}
	return sortedUnique(nodes)
}

// Ready counts the ready pods.
func (d DNSReplicas) Ready() int {
	return len(slices.DeleteFunc(slices.Clone(d.pods), func(pod corev1.Pod) bool {
		ready, _ := PodIsReady(&pod)
		return !ready
	}))
}

// Elsewhere returns the nodes that can take a replica and have none.
func (d DNSReplicas) Elsewhere() []string {
	return slices.DeleteFunc(slices.Clone(d.Nodes), func(node string) bool {
		return slices.ContainsFunc(d.pods, func(pod corev1.Pod) bool { return pod.Spec.NodeName == node })
	})
}

// Crowded returns the node on which all replicas are, at least two, although another
// one can take one of them; empty if there is none.
func (d DNSReplicas) Crowded() string {
	if len(d.pods) < 2 || len(d.Elsewhere()) == 0 {
		return ""
	}
	if d.spread() {
		return "" // also if one is not scheduled yet
	}
	return d.pods[0].Spec.NodeName
}

// Unsettled reports whether all replicas, at least two, are on one node, and another one
// can take one of them in a moment, but none can now.
func (d DNSReplicas) Unsettled() bool {
	return len(d.pods) > 1 && len(d.Settling) > 0 && len(d.Elsewhere()) == 0 && !d.spread()
}

// DNSNodesSettled: DNSReplicas are not Unsettled.
func DNSNodesSettled() Condition {
	return Condition{Name: "a node that can take CoreDNS", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		d, err := c.ReadDNSReplicas(ctx)
		if err != nil || !d.Unsettled() {
			return err == nil, "settled", err
		}
		return false, "the pod network starts on " + strings.Join(d.Settling, ", "), nil
	}}
}

// spread reports whether the replicas are not all on one node.
func (d DNSReplicas) spread() bool {
	return slices.ContainsFunc(d.pods, func(pod corev1.Pod) bool { return pod.Spec.NodeName != d.pods[0].Spec.NodeName })
}

// Removable returns a replica that can be evicted while DNS keeps a ready one: one
// that is not ready itself, or one of several that are; nil if there is none.
func (d DNSReplicas) Removable() *corev1.Pod {
	for i := range d.pods {
		if ready, _ := PodIsReady(&d.pods[i]); !ready {
			return &d.pods[i]
		}
	}
	if len(d.pods) < 2 {
		return nil
	}
	return &d.pods[len(d.pods)-1]
}

// Evicted: the API server has accepted the eviction of a pod, or the pod is gone. It
// refuses one that a PodDisruptionBudget forbids.
func Evicted(pod *corev1.Pod) Condition {
	what := fmt.Sprintf("eviction of pod %s/%s", pod.Namespace, pod.Name)
	return Condition{Name: what, Check: func(ctx context.Context, c *Client) (bool, string, error) {
		uid := pod.UID
		err := c.clientset.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
		})
		switch {
		case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err): // a conflict: another pod has its name
			return true, "evicted", nil
		case apierrors.IsTooManyRequests(err):
			return false, err.Error(), nil
		}
		return false, "", err
	}}
}

// CoreDNSReady: all replicas of CoreDNS are ready.
func CoreDNSReady() Condition { return allDNSReplicas("ready", DNSReplicas.Ready) }

// CoreDNSRuns: all replicas of CoreDNS run; they need not be ready yet.
func CoreDNSRuns() Condition { return allDNSReplicas("started", DNSReplicas.running) }

// running counts the pods whose containers run.
func (d DNSReplicas) running() int {
	return len(slices.DeleteFunc(slices.Clone(d.pods), func(pod corev1.Pod) bool { return !runs(pod) }))
}

func allDNSReplicas(state string, count func(DNSReplicas) int) Condition {
	return Condition{Name: "all replicas of CoreDNS to be " + state, Check: func(ctx context.Context, c *Client) (bool, string, error) {
		d, err := c.ReadDNSReplicas(ctx)
		if err != nil {
			return false, "", err
		}
		if count(d) >= d.Wanted {
			return true, state, nil
		}
		return false, fmt.Sprintf("%d of %d replicas %s", count(d), d.Wanted, state) + c.describeUnready(ctx, d.pods), nil
	}}
}

package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// unschedulableFor is how long a pod has no node before it counts as one that fits on
// none: the scheduler tries again within 10 s when the cluster changes
// (podMaxBackoffSeconds).
const unschedulableFor = 15 * time.Second

// workload is the controller of pods that a drain evicts.
type workload struct {
	kind, namespace, name string
	uid                   types.UID
	// ready is how many of its pods were ready before.
	ready int
}

func (w workload) String() string { return strings.ToLower(w.kind) + " " + w.namespace + "/" + w.name }

// readWorkloads returns the controllers of pods, with their ready pods on all nodes. The
// pods of a Job do not get ready again: the next one continues its work, or it is done.
func (c *Client) readWorkloads(ctx context.Context, pods []corev1.Pod) ([]workload, error) {
	workloads := []workload{}
	ready := map[string]map[types.UID]int{}
	for i := range pods {
		pod := &pods[i]
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.Kind == "Job" || slices.ContainsFunc(workloads, func(w workload) bool { return w.uid == owner.UID }) {
			continue
		}
		if ready[pod.Namespace] == nil {
			counts, err := c.readyByOwner(ctx, pod.Namespace)
			if err != nil {
				return nil, err
			}
			ready[pod.Namespace] = counts
		}
		workloads = append(workloads, workload{
			kind: owner.Kind, namespace: pod.Namespace, name: owner.Name, uid: owner.UID, ready: ready[pod.Namespace][owner.UID],
		})
	}
	return workloads, nil
}

// readyByOwner counts the ready pods of each controller of a namespace.
func (c *Client) readyByOwner(ctx context.Context, namespace string) (map[types.UID]int, error) {
	pods, err := c.clientset.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	counts := map[types.UID]int{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if owner := metav1.GetControllerOf(pod); owner != nil && pod.DeletionTimestamp == nil && isReady(pod) {
			counts[owner.UID]++
		}
	}
	return counts, nil
}

func isReady(pod *corev1.Pod) bool {
	ready, _ := PodIsReady(pod)
	return ready
}

// Replaced waits until what a drain evicted is ready elsewhere: each controller has as
// many ready pods as before, or as many as it wants by now. stuck are the pods that fit on
// no other node, with the reason of the scheduler: Replaced does not wait for them.
func (c *Client) Replaced(ctx context.Context, drained *Drained, options WaitOptions) (stuck []string, err error) {
	if c.dryRun {
		return nil, nil
	}
	pending := newPending()
	err = c.WaitFor(ctx, Condition{Name: "evicted pods ready on other nodes", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		var waiting []string
		stuck = nil
		for _, w := range drained.workloads {
			left, seen, err := c.replaced(ctx, w, pending)
			if err != nil {
				return false, "", err
			}
			if seen != "" {
				waiting = append(waiting, seen)
			}
			stuck = append(stuck, left...)
		}
		return len(waiting) == 0, strings.Join(waiting, "; "), nil
	}}, options)
	return stuck, err
}

// replaced checks one workload. seen is empty if there is nothing to wait for.
func (c *Client) replaced(ctx context.Context, w workload, pending *pending) (stuck []string, seen string, err error) {
	list, err := c.clientset.CoreV1().Pods(w.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, "", err
	}
	ready := 0
	var unready []corev1.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		owner := metav1.GetControllerOf(pod)
		switch {
		case owner == nil || owner.UID != w.uid || pod.DeletionTimestamp != nil || finished(pod):
		case isReady(pod):
			ready++
		default:
			unready = append(unready, *pod)
		}
	}
	if ready >= w.ready {
		return nil, "", nil
	}
	wanted, err := c.wants(ctx, w, ready+len(unready))
	if err != nil || ready >= wanted {
		return nil, "", err
	}
	for i := range unready {
		if why := pending.longUnschedulable(&unready[i]); why != "" {
			stuck = append(stuck, fmt.Sprintf("%s/%s: %s", w.namespace, unready[i].Name, why))
		}
	}
	if ready+len(stuck) >= wanted {
		return stuck, "", nil
	}
	return stuck, fmt.Sprintf("%s: %d of %d pods ready%s", w, ready, wanted, c.describeUnready(ctx, unready)), nil
}

// wants returns how many ready pods a workload is to have: as many as before, but a
// rollout or an autoscaler may have scaled it down since. Of a controller that slipway
// does not know, it is unknown whether it replaces pods, and so only those that exist
// count.
func (c *Client) wants(ctx context.Context, w workload, existing int) (int, error) {
	var replicas *int32
	var uid types.UID
	var err error
	switch w.kind {
	case "ReplicaSet":
		set, failed := c.clientset.AppsV1().ReplicaSets(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
		replicas, uid, err = set.Spec.Replicas, set.UID, failed
	case "StatefulSet":
		set, failed := c.clientset.AppsV1().StatefulSets(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
		replicas, uid, err = set.Spec.Replicas, set.UID, failed
	case "ReplicationController":
		set, failed := c.clientset.CoreV1().ReplicationControllers(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
		replicas, uid, err = set.Spec.Replicas, set.UID, failed
	default:
		return min(w.ready, existing), nil
	}
	switch {
	case apierrors.IsNotFound(err), err == nil && uid != w.uid:
		return 0, nil
	case err != nil:
		return 0, err
	case replicas == nil:
		return min(w.ready, 1), nil
	}
	return min(w.ready, int(*replicas)), nil
}

// pending remembers since when pods have no node.
type pending struct{ since map[types.UID]time.Time }

func newPending() *pending { return &pending{since: map[types.UID]time.Time{}} }

// longUnschedulable returns why a pod has found no node for a while; empty if it has not
// been looked for that long, or has a node.
func (p *pending) longUnschedulable(pod *corev1.Pod) string {
	why := unschedulable(pod)
	if why == "" {
		delete(p.since, pod.UID)
		return ""
	}
	if p.since[pod.UID].IsZero() {
		p.since[pod.UID] = time.Now()
	}
	if time.Since(p.since[pod.UID]) < unschedulableFor {
		return ""
	}
	return why
}

// unschedulable returns why the scheduler finds no node for a pod; empty if it does.
func unschedulable(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
			if condition.Message == "" {
				return condition.Reason
			}
			return condition.Message
		}
	}
	return ""
}

// cordonSlack is how much the clocks of an API server and a controller manager may differ.
const cordonSlack = time.Minute

// Unschedulable returns the pods that fit on no node, such as those that a drain evicted
// and that can only run where they ran. Pods that are older than the cordon of the node had
// no node before it. See Returned.
func (c *Client) Unschedulable(ctx context.Context, node string) ([]corev1.Pod, error) {
	drained, err := c.Node(ctx, node)
	if err != nil {
		return nil, err
	}
	cordoned := cordonTime(drained)
	list, err := retried(ctx, func() (*corev1.PodList, error) {
		return c.clientset.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Pending"})
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		return pod.Spec.NodeName != "" || unschedulable(&pod) == "" || pod.CreationTimestamp.Time.Before(cordoned)
	}), nil
}

// cordonTime is when the node controller has seen that a Node is cordoned, less the slack;
// zero if it has not.
func cordonTime(node *corev1.Node) time.Time {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeUnschedulable && taint.TimeAdded != nil {
			return taint.TimeAdded.Add(-cordonSlack)
		}
	}
	return time.Time{}
}

// Returned waits until those of the pods that the scheduler assigns to a Node are ready
// there, after the Node was uncordoned. Pods that still fit nowhere, that run elsewhere or
// that are gone do not count.
func (c *Client) Returned(ctx context.Context, node string, pods []corev1.Pod, options WaitOptions) error {
	if c.dryRun || len(pods) == 0 {
		return nil
	}
	pending := newPending()
	return c.WaitFor(ctx, Condition{Name: "pods ready on node " + node, Check: func(ctx context.Context, c *Client) (bool, string, error) {
		var waiting []corev1.Pod
		for i := range pods {
			pod, err := c.clientset.CoreV1().Pods(pods[i].Namespace).Get(ctx, pods[i].Name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err), err == nil && pod.UID != pods[i].UID:
			case err != nil:
				return false, "", err
			case pod.DeletionTimestamp != nil, finished(pod), isReady(pod):
			case pod.Spec.NodeName != "" && pod.Spec.NodeName != node, pending.longUnschedulable(pod) != "":
			default:
				waiting = append(waiting, *pod)
			}
		}
		return len(waiting) == 0, strings.TrimPrefix(c.describeUnready(ctx, waiting), "; "), nil
	}}, options)
}

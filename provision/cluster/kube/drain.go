package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"slipway.io/slipway/provision/retry"
)

// drainInterval is between two attempts to evict the pods that are left.
const drainInterval = time.Second

// drainAttempt bounds one attempt to evict all of them.
const drainAttempt = time.Minute

// Drained is what Drain did.
type Drained struct {
	// Evicted are the pods that were evicted, "namespace/name". In a dry run they still
	// run.
	Evicted []string
	// Unmanaged are those of them that no controller starts elsewhere.
	Unmanaged []string
	// Blocked says of the pods that a dry run could not evict why.
	Blocked []string

	// workloads are the controllers of the pods on the Node, as they were before; nil
	// until they are read.
	workloads []workload
}

// Drain evicts the pods of a Node, and waits until they have terminated. It respects
// PodDisruptionBudgets: it repeats evictions that they refuse until the timeout. Pods
// of DaemonSets and static pods stay. Volumes of the type emptyDir are lost. On a Node
// that is not ready nothing terminates, and Drain only evicts.
func (c *Client) Drain(ctx context.Context, name string, options WaitOptions) (*Drained, error) {
	o := waitOptions([]WaitOptions{options})
	done := &Drained{}
	err := retry.Until(ctx, "drain of node "+name, func(ctx context.Context) error {
		pods, err := c.podsToEvict(ctx, name)
		if err != nil {
			return err
		}
		if done.workloads == nil {
			if done.workloads, err = c.readWorkloads(ctx, pods); err != nil {
				return err
			}
		}
		waiting, blocked, err := c.evict(ctx, pods, done)
		if err != nil {
			return retry.Stop(err)
		}
		if c.dryRun {
			done.Blocked = blocked
			return nil
		}
		if len(waiting) > 0 && len(blocked) == 0 {
			dead, err := c.notReady(ctx, name)
			if dead || err != nil {
				return err
			}
		}
		if left := slices.Concat(blocked, waiting); len(left) > 0 {
			return errors.New(strings.Join(left, "; "))
		}
		return nil
	}, retry.Options{
		Timeout: o.Timeout, AttemptTimeout: drainAttempt, Pause: retry.Every(max(o.Interval, drainInterval)),
		Progress: func(err error) { o.Progress(err.Error()) },
	})
	return done, err
}

// evict requests the eviction of pods. waiting says of those that still run, and
// blocked of those that may not be evicted now, why. It adds what it evicts to done.
func (c *Client) evict(ctx context.Context, pods []corev1.Pod, done *Drained) (waiting, blocked []string, err error) {
	for i := range pods {
		pod := &pods[i]
		title := pod.Namespace + "/" + pod.Name
		if pod.DeletionTimestamp != nil {
			waiting = append(waiting, title+" terminates")
			continue
		}
		err := c.requestEviction(ctx, pod)
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err): // it is gone, or another pod
			continue
		case apierrors.IsTooManyRequests(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), err != nil && (transient(err) || c.dryRun):
			blocked = append(blocked, title+": "+evictionRefusal(err))
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("evict pod %s: %w", title, err)
		}
		waiting = append(waiting, title+" terminates")
		done.Evicted = append(done.Evicted, title)
		if metav1.GetControllerOf(pod) == nil {
			done.Unmanaged = append(done.Unmanaged, title)
		}
	}
	return waiting, blocked, nil
}

// requestEviction evicts a pod, unless another one has its name by now. The client's
// own retries would hide why a pod may not be evicted.
func (c *Client) requestEviction(ctx context.Context, pod *corev1.Pod) error {
	return c.clientset.CoreV1().RESTClient().Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("eviction").
		MaxRetries(0).
		Body(&policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
		}).
		Do(ctx).Error()
}

// evictionRefusal is the API server's reason, with the PodDisruptionBudget that it names.
func evictionRefusal(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			if cause.Type == policyv1.DisruptionBudgetCause {
				return cause.Message
			}
		}
	}
	return err.Error()
}

// podsToEvict returns the pods of a Node that a drain evicts.
func (c *Client) podsToEvict(ctx context.Context, node string) ([]corev1.Pod, error) {
	selector := fields.OneTermEqualSelector("spec.nodeName", node).String()
	list, err := c.clientset.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool { return stays(&pod) }), nil
}

// stays reports whether a drain leaves a pod alone.
func stays(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	_, static := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return static || finished(pod) || owner != nil && owner.Kind == "DaemonSet"
}

// finished reports whether the containers of a pod have ended for good.
func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// notReady reports whether the kubelet of a Node does not work.
func (c *Client) notReady(ctx context.Context, name string) (bool, error) {
	node, err := c.clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	ready, _ := NodeIsReady(node)
	return !ready, nil
}

// Node returns a Node. It outlasts an election of etcd.
func (c *Client) Node(ctx context.Context, name string) (*corev1.Node, error) {
	return retried(ctx, func() (*corev1.Node, error) { return c.clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}) })
}

// DeleteNode deletes a Node, and reports whether there was one. It outlasts an election
// of etcd, such as the one after the removal of the member that leads.
func (c *Client) DeleteNode(ctx context.Context, name string, uid types.UID) (deleted bool, err error) {
	options := metav1.DeleteOptions{}
	if uid != "" {
		options.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	attempts := 0
	err = retryTransient(ctx, func() error {
		attempts++
		return c.clientset.CoreV1().Nodes().Delete(ctx, name, options)
	})
	if apierrors.IsNotFound(err) {
		// An attempt without an answer may have deleted it.
		return attempts > 1, nil
	}
	return err == nil, err
}

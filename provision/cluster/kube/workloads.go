package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PodReady: the Pod reports Ready.
func PodReady(namespace, name string) Condition {
	what := fmt.Sprintf("pod %s/%s", namespace, name)
	return Condition{Name: what + " ready", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		pod, err := c.clientset.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, what + " does not exist", nil
		}
		if err != nil {
			return false, "", err
		}
		ready, why := PodIsReady(pod)
		return ready, why, nil
	}}
}

// PodGone: the Pod with that UID does not exist any more; another one may have its
// name.
func PodGone(namespace, name string, uid types.UID) Condition {
	what := fmt.Sprintf("pod %s/%s", namespace, name)
	return Condition{Name: what + " gone", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		pod, err := c.clientset.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && pod.UID != uid {
			return true, "gone", nil
		}
		return false, what + " still exists", err
	}}
}

// DaemonSetReady: the current revision of the DaemonSet is available on each node
// that it is scheduled to, at least one. Nodes whose kubelet no longer reports do
// not count: nobody may ever start them again.
func DaemonSetReady(namespace, name string) Condition {
	what := fmt.Sprintf("daemon set %s/%s", namespace, name)
	return Condition{Name: what + " ready", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		set, err := c.clientset.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, what + " does not exist", nil
		}
		if err != nil {
			return false, "", err
		}
		status := set.Status
		if status.ObservedGeneration < set.Generation {
			return false, "its controller has not observed it yet", nil
		}
		wanted := status.DesiredNumberScheduled
		if status.NumberAvailable < wanted {
			lost, err := c.lostPods(ctx, namespace, set.Spec.Selector)
			if err != nil {
				return false, "", err
			}
			wanted -= lost
		}
		seen := fmt.Sprintf("%d of %d pods available", status.NumberAvailable, wanted)
		if status.UpdatedNumberScheduled < wanted {
			seen += fmt.Sprintf(", %d of them up to date", status.UpdatedNumberScheduled)
		}
		if wanted > 0 && status.UpdatedNumberScheduled >= wanted && status.NumberAvailable >= wanted {
			return true, seen, nil
		}
		return false, seen + c.unreadyPods(ctx, namespace, set.Spec.Selector), nil
	}}
}

// lostPods counts the unready pods on nodes whose kubelet no longer reports: the
// condition Ready is Unknown, which the node controller sets.
func (c *Client) lostPods(ctx context.Context, namespace string, selector *metav1.LabelSelector) (int32, error) {
	nodes, err := c.clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	silent := map[string]bool{}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionUnknown {
				silent[node.Name] = true
			}
		}
	}
	if len(silent) == 0 {
		return 0, nil
	}
	pods, err := c.clientset.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(selector)})
	if err != nil {
		return 0, err
	}
	lost := int32(0)
	for i := range pods.Items {
		if ready, _ := PodIsReady(&pods.Items[i]); !ready && silent[pods.Items[i].Spec.NodeName] {
			lost++
		}
	}
	return lost, nil
}

// DeploymentReady: all replicas of the Deployment's current revision are
// available, and those of older revisions are gone. A Deployment scaled to zero
// is ready.
func DeploymentReady(namespace, name string) Condition {
	what := fmt.Sprintf("deployment %s/%s", namespace, name)
	return Condition{Name: what + " ready", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		deployment, err := c.clientset.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, what + " does not exist", nil
		}
		if err != nil {
			return false, "", err
		}
		wanted := int32(1)
		if deployment.Spec.Replicas != nil {
			wanted = *deployment.Spec.Replicas
		}
		status := deployment.Status
		if status.ObservedGeneration < deployment.Generation {
			return false, "its controller has not observed it yet", nil
		}
		seen := fmt.Sprintf("%d of %d replicas available", status.AvailableReplicas, wanted)
		if status.UpdatedReplicas < wanted || status.Replicas > status.UpdatedReplicas {
			seen += fmt.Sprintf(", %d of %d up to date", status.UpdatedReplicas, status.Replicas)
		} else if status.AvailableReplicas >= wanted {
			return true, seen, nil
		}
		return false, seen + refusedPods(status.Conditions) + c.unreadyPods(ctx, namespace, deployment.Spec.Selector), nil
	}}
}

// refusedPods says why a Deployment's pods cannot be created: a quota, or the pod
// security of their namespace.
func refusedPods(conditions []appsv1.DeploymentCondition) string {
	for _, condition := range conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return "; " + condition.Reason + ": " + condition.Message
		}
	}
	return ""
}

// maxUnreadyPods is how many pods unreadyPods names.
const maxUnreadyPods = 5

// unreadyPods says which Pods are not ready and why: the status of a DaemonSet or
// Deployment only counts them. It is empty if they cannot be listed.
func (c *Client) unreadyPods(ctx context.Context, namespace string, selector *metav1.LabelSelector) string {
	pods, err := c.clientset.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(selector),
	})
	if err != nil {
		return ""
	}
	return c.describeUnready(ctx, pods.Items)
}

// describeUnready is unreadyPods for pods that are known.
func (c *Client) describeUnready(ctx context.Context, pods []corev1.Pod) string {
	text, more := "", 0
	for i := range pods {
		pod := &pods[i]
		ready, why := PodIsReady(pod)
		switch {
		case ready:
		case strings.Count(text, "; ") == maxUnreadyPods:
			more++
		default:
			text += fmt.Sprintf("; %s: %s", podPlace(pod), strings.ReplaceAll(why+c.warning(ctx, pod), "; ", ", "))
		}
	}
	if more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// warning is the last warning about a pod that has no container yet: only events
// say that a volume cannot be mounted or a network cannot be set up.
func (c *Client) warning(ctx context.Context, pod *corev1.Pod) string {
	if pod.Spec.NodeName == "" || slices.ContainsFunc(
		slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses),
		func(s corev1.ContainerStatus) bool {
			return s.ContainerID != "" || s.State.Waiting != nil && s.State.Waiting.Message != ""
		}) {
		return ""
	}
	events, err := c.clientset.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "type=Warning,involvedObject.uid=" + string(pod.UID),
	})
	if err != nil || len(events.Items) == 0 {
		return ""
	}
	last := LatestEvent(events.Items)
	return fmt.Sprintf(": %s: %s", last.Reason, strings.TrimSpace(last.Message))
}

// LatestEvent returns the last warning, or the last event if there is no warning.
// There must be at least one event.
func LatestEvent(events []corev1.Event) corev1.Event {
	last := events[0]
	for _, e := range events {
		isWarning, wasWarning := e.Type == corev1.EventTypeWarning, last.Type == corev1.EventTypeWarning
		if isWarning && !wasWarning || isWarning == wasWarning && e.LastTimestamp.After(last.LastTimestamp.Time) {
			last = e
		}
	}
	return last
}

func podPlace(pod *corev1.Pod) string {
	if pod.Spec.NodeName == "" {
		return pod.Name
	}
	return pod.Name + " on " + pod.Spec.NodeName
}

// PodIsReady reads a Pod's Ready condition; why says what the Pod waits for.
func PodIsReady(pod *corev1.Pod) (ready bool, why string) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			return true, "Ready"
		}
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return false, fmt.Sprintf("%s: %s", condition.Reason, condition.Message)
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range statuses {
			if problem := containerProblem(status); problem != "" {
				return false, problem
			}
		}
	}
	if pod.Status.Phase == "" {
		return false, "not started yet"
	}
	return false, "not Ready, phase " + string(pod.Status.Phase)
}

// containerProblem says why a container does not run: "agnhost:
// CrashLoopBackOff: …". It names the image, which the runtime's message may not.
func containerProblem(status corev1.ContainerStatus) string {
	if waiting := status.State.Waiting; waiting != nil {
		// Its last message is worth more than "back-off 40s".
		if ended := status.LastTerminationState.Terminated; ended != nil && ended.Message != "" {
			return describe(status.Name, waiting.Reason, lastLine(ended.Message))
		}
		// A container that waits for others or for its image does not name it.
		if !strings.Contains(waiting.Message, status.Image) {
			return describe(status.Name, waiting.Reason+" of "+status.Image, waiting.Message)
		}
		return describe(status.Name, waiting.Reason, waiting.Message)
	}
	if ended := status.State.Terminated; ended != nil && ended.ExitCode != 0 {
		return describe(status.Name, fmt.Sprintf("%s (exit code %d)", ended.Reason, ended.ExitCode), ended.Message)
	}
	return ""
}

// lastLine returns the last line that is not empty.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

func describe(name, reason, message string) string {
	text := name + ": " + reason
	if message != "" {
		text += ": " + message
	}
	return text
}

// JobComplete: the Job has succeeded. That a Job has failed is an observation.
func JobComplete(namespace, name string) Condition {
	what := fmt.Sprintf("job %s/%s", namespace, name)
	return Condition{Name: what + " complete", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		job, err := c.clientset.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, what + " does not exist", nil
		}
		if err != nil {
			return false, "", err
		}
		for _, condition := range job.Status.Conditions {
			if condition.Status == corev1.ConditionTrue && condition.Type == batchv1.JobComplete {
				return true, "complete", nil
			}
			if condition.Status == corev1.ConditionTrue && condition.Type == batchv1.JobFailed {
				return false, fmt.Sprintf("failed: %s: %s", condition.Reason, condition.Message), nil
			}
		}
		return false, fmt.Sprintf("%d pods active", job.Status.Active) + c.unreadyPods(ctx, namespace, job.Spec.Selector), nil
	}}
}

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

// PodGone: the Pod with that UID is not there any more; there may be another
// one of its name.
func PodGone(namespace, name string, uid types.UID) Condition {
	what := fmt.Sprintf("pod %s/%s", namespace, name)
	return Condition{Name: what + " gone", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		pod, err := c.clientset.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && pod.UID != uid {
			return true, "gone", nil
		}
		return false, what + " is still there", err
	}}
}

// DaemonSetReady: the current revision of the DaemonSet is available on each
// node where it belongs, and it belongs on one at least.
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
			return false, "its controller has not seen it yet", nil
		}
		wanted := status.DesiredNumberScheduled
		seen := fmt.Sprintf("%d of %d pods available", status.NumberAvailable, wanted)
		if status.UpdatedNumberScheduled < wanted {
			seen += fmt.Sprintf(", %d of them up to date", status.UpdatedNumberScheduled)
		}
		if wanted > 0 && status.UpdatedNumberScheduled == wanted && status.NumberAvailable == wanted {
			return true, seen, nil
		}
		return false, seen + c.podTrouble(ctx, namespace, set.Spec.Selector), nil
	}}
}

// DeploymentReady: all replicas of the Deployment's current revision are
// available, and those of older ones are gone. A Deployment scaled to zero is
// ready.
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
			return false, "its controller has not seen it yet", nil
		}
		seen := fmt.Sprintf("%d of %d replicas available", status.AvailableReplicas, wanted)
		if status.UpdatedReplicas < wanted || status.Replicas > status.UpdatedReplicas {
			seen += fmt.Sprintf(", %d of %d up to date", status.UpdatedReplicas, status.Replicas)
		} else if status.AvailableReplicas >= wanted {
			return true, seen, nil
		}
		return false, seen + refusedPods(status.Conditions) + c.podTrouble(ctx, namespace, deployment.Spec.Selector), nil
	}}
}

// refusedPods adds why a Deployment's pods are not even made: a quota, or the
// pod security of their namespace.
func refusedPods(conditions []appsv1.DeploymentCondition) string {
	for _, condition := range conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return "; " + condition.Reason + ": " + condition.Message
		}
	}
	return ""
}

// troubledMost is how many pods podTrouble tells about.
const troubledMost = 5

// podTrouble adds which Pods are not ready and why: the status of a DaemonSet
// or Deployment only counts them. What cannot be read is left out.
func (c *Client) podTrouble(ctx context.Context, namespace string, selector *metav1.LabelSelector) string {
	pods, err := c.clientset.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(selector),
	})
	if err != nil {
		return ""
	}
	told, more := "", 0
	for i := range pods.Items {
		pod := &pods.Items[i]
		ready, why := PodIsReady(pod)
		switch {
		case ready:
		case strings.Count(told, "; ") == troubledMost:
			more++
		default:
			told += fmt.Sprintf("; %s: %s", podPlace(pod), strings.ReplaceAll(why+c.warning(ctx, pod), "; ", ", "))
		}
	}
	if more > 0 {
		told += fmt.Sprintf("; and %d more", more)
	}
	return told
}

// warning is what the last warning about a pod says that has no container yet:
// a volume that cannot be mounted, or a network that cannot be had, stands in
// events alone.
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

// LatestEvent is the last warning, which says more than the events around it,
// or the last event if there is none; of one event at least.
func LatestEvent(events []corev1.Event) corev1.Event {
	last := events[0]
	for _, e := range events {
		warns, warned := e.Type == corev1.EventTypeWarning, last.Type == corev1.EventTypeWarning
		if warns && !warned || warns == warned && e.LastTimestamp.After(last.LastTimestamp.Time) {
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

// PodIsReady reads a Pod's Ready condition; why says what it is waiting for.
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
			if trouble := containerTrouble(status); trouble != "" {
				return false, trouble
			}
		}
	}
	if pod.Status.Phase == "" {
		return false, "not started yet"
	}
	return false, "not Ready, phase " + string(pod.Status.Phase)
}

// containerTrouble says why a container does not run: "agnhost:
// CrashLoopBackOff: …". It says which image that is about, whatever the runtime
// has to say.
func containerTrouble(status corev1.ContainerStatus) string {
	if waiting := status.State.Waiting; waiting != nil {
		// What it said before it ended is worth more than "back-off 40s".
		if ended := status.LastTerminationState.Terminated; ended != nil && ended.Message != "" {
			return describe(status.Name, waiting.Reason, lastLine(ended.Message))
		}
		// What waits for its turn, or for its image, says neither.
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

// lastLine is the last line that is not empty.
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

// JobComplete: the Job has succeeded. A Job that failed for good is told as
// what was seen.
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
		return false, fmt.Sprintf("%d pods at work", job.Status.Active) + c.podTrouble(ctx, namespace, job.Spec.Selector), nil
	}}
}

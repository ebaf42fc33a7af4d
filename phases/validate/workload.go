package validate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	validatetmpl "slipway.io/slipway/templates/validate"
)

const (
	// workloadTimeout bounds a probe that starts its own pods, volumes included.
	workloadTimeout = 2 * time.Minute
	// startTimeout bounds the start of its pods.
	startTimeout = 60 * time.Second
	// evidenceTime is reserved at the end of a timeout, to read what went wrong.
	evidenceTime = 2 * time.Second
)

// workload is the data of the templates, under a name.
func (r *run) workload(name string) validatetmpl.Workload {
	return validatetmpl.Workload{
		Namespace: r.namespace, Name: name, Container: probeContainer, Image: r.image,
		HTTPPort: httpPort, ServicePort: servicePort,
	}
}

// apply applies a template to the test namespace.
func (r *run) apply(ctx context.Context, template string, data validatetmpl.Workload) error {
	manifest, err := validatetmpl.Render(template, data)
	if err != nil {
		return err
	}
	_, err = r.client.Apply(ctx, manifest)
	return err
}

// await waits for a condition. If the time is up, the error is the last
// observation.
func (r *run) await(ctx context.Context, condition kube.Condition, timeout time.Duration) error {
	err := r.client.WaitFor(ctx, condition, kube.WaitOptions{Timeout: beforeDeadline(ctx, r.scale.extend(timeout))})
	var late *kube.WaitError
	if errors.As(err, &late) {
		return fmt.Errorf("%s, after %s", late.Last, late.After.Round(time.Second))
	}
	return err
}

// beforeDeadline shortens a timeout so that it ends before the context does, with
// time left for evidence.
func beforeDeadline(ctx context.Context, timeout time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(min(timeout, time.Until(deadline)-evidenceTime), time.Millisecond)
	}
	return timeout
}

// podReady waits for a pod of the test namespace. The error says why its claim,
// if it has one, is not bound.
func (r *run) podReady(ctx context.Context, pod, claim string) (*corev1.Pod, error) {
	if err := r.await(ctx, kube.PodReady(r.namespace, pod), startTimeout); err != nil {
		return nil, fmt.Errorf("pod %s: %w%s", pod, err, r.claimFailure(ctx, claim))
	}
	return r.client.Clientset().CoreV1().Pods(r.namespace).Get(ctx, pod, metav1.GetOptions{})
}

// claimFailure is the status and the last event of a claim that is not bound;
// empty if it is bound or does not exist.
func (r *run) claimFailure(ctx context.Context, claim string) string {
	api := r.client.Clientset().CoreV1()
	found, err := api.PersistentVolumeClaims(r.namespace).Get(ctx, claim, metav1.GetOptions{})
	if err != nil || found.Status.Phase == corev1.ClaimBound {
		return ""
	}
	return fmt.Sprintf("; claim %s is %s", claim, found.Status.Phase) +
		lastEvent(ctx, r.client, r.namespace, "PersistentVolumeClaim", claim)
}

// lastEvent is the message of the last event of an object, after a colon; empty
// if there is none.
func lastEvent(ctx context.Context, c *kube.Client, namespace, kind, name string) string {
	events, err := c.Clientset().CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=" + kind + ",involvedObject.name=" + name,
	})
	if err != nil || len(events.Items) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(kube.LatestEvent(events.Items).Message)
}

// write writes text to a file in a pod.
func (r *run) write(ctx context.Context, pod, file, text string) error {
	_, stderr, err := r.client.Exec(ctx, r.namespace, pod, probeContainer,
		[]string{"sh", "-c", `cat > "$0" && sync`, file}, strings.NewReader(text))
	return withStderr(fmt.Sprintf("write %s in %s", file, pod), err, stderr)
}

// read reads a file in a pod.
func (r *run) read(ctx context.Context, pod, file string) (string, error) {
	stdout, stderr, err := r.client.Exec(ctx, r.namespace, pod, probeContainer, []string{"cat", file}, nil)
	return string(stdout), withStderr(fmt.Sprintf("read %s in %s", file, pod), err, stderr)
}

func withStderr(what string, err error, stderr []byte) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", what, err, head(strings.TrimSpace(string(stderr)), 400))
}

// cleanUp deletes the pods, workloads and claims of a probe by their prefix, so
// that their volumes are deleted while other probes run. What it cannot delete is
// deleted with the namespace.
func (r *run) cleanUp(ctx context.Context, prefix string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.scale.extend(attemptTimeout))
	defer cancel()
	set := r.client.Clientset()
	background := metav1.DeletePropagationBackground
	_ = set.AppsV1().StatefulSets(r.namespace).Delete(ctx, prefix, metav1.DeleteOptions{PropagationPolicy: &background})
	if pods, err := set.CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{}); err == nil {
		for _, pod := range pods.Items {
			if strings.HasPrefix(pod.Name, prefix+"-") {
				_ = set.CoreV1().Pods(r.namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
			}
		}
	}
	if claims, err := set.CoreV1().PersistentVolumeClaims(r.namespace).List(ctx, metav1.ListOptions{}); err == nil {
		for _, claim := range claims.Items {
			if claim.Name == prefix || strings.HasPrefix(claim.Name, "data-"+prefix+"-") {
				_ = set.CoreV1().PersistentVolumeClaims(r.namespace).Delete(ctx, claim.Name, metav1.DeleteOptions{})
			}
		}
	}
}

// deletePod deletes a pod and waits until it is gone.
func (r *run) deletePod(ctx context.Context, pod string) error {
	pods := r.client.Clientset().CoreV1().Pods(r.namespace)
	old, err := pods.Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := pods.Delete(ctx, pod, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return r.await(ctx, kube.PodGone(r.namespace, pod, old.UID), startTimeout)
}

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
	// workloadTime is how long a probe may take that starts pods of its own,
	// volumes included.
	workloadTime = 2 * time.Minute
	// startTime is how long its pods may take to be ready.
	startTime = 60 * time.Second
	// evidenceRoom is what is kept of a task's time to say what was seen.
	evidenceRoom = 2 * time.Second
)

// noNamespace is the one task of a kind of probe that has nowhere to be.
func (r *run) noNamespace() []task { return skipped("there is no test namespace: " + r.noBed) }

// workload is what the templates are filled from, under a name.
func (r *run) workload(name string) validatetmpl.Workload {
	return validatetmpl.Workload{
		Namespace: r.namespace, Name: name, Container: probeContainer, Image: r.options.AgnhostImage,
		HTTPPort: httpPort, ServicePort: servicePort,
	}
}

// apply applies a template to the test namespace.
func (r *run) apply(ctx context.Context, template string, data validatetmpl.Workload) error {
	manifest, err := validatetmpl.Render(template, data)
	if err != nil {
		return err
	}
	_, err = r.options.Client.Apply(ctx, manifest)
	return err
}

// await waits for a condition, at the cluster's pace; what was seen last is the error.
func (r *run) await(ctx context.Context, condition kube.Condition, within time.Duration) error {
	within = r.pace.limit(within)
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline)-evidenceRoom)
	}
	err := r.options.Client.WaitFor(ctx, condition, kube.WaitOptions{Timeout: max(within, time.Millisecond)})
	var late *kube.WaitError
	if errors.As(err, &late) {
		return fmt.Errorf("%s, after %s", late.Last, late.After.Round(time.Second))
	}
	return err
}

// podReady waits for a pod of the test namespace, and says what holds up a
// claim that it has.
func (r *run) podReady(ctx context.Context, pod, claim string) (*corev1.Pod, error) {
	if err := r.await(ctx, kube.PodReady(r.namespace, pod), startTime); err != nil {
		return nil, fmt.Errorf("pod %s: %w%s", pod, err, r.claimTrouble(ctx, claim))
	}
	return r.options.Client.Clientset().CoreV1().Pods(r.namespace).Get(ctx, pod, metav1.GetOptions{})
}

// claimTrouble is what the last event of a claim that is not bound says; empty
// if there is nothing to say.
func (r *run) claimTrouble(ctx context.Context, claim string) string {
	api := r.options.Client.Clientset().CoreV1()
	has, err := api.PersistentVolumeClaims(r.namespace).Get(ctx, claim, metav1.GetOptions{})
	if err != nil || has.Status.Phase == corev1.ClaimBound {
		return ""
	}
	return fmt.Sprintf("; claim %s is %s", claim, has.Status.Phase) +
		lastEvent(ctx, r.options.Client, r.namespace, "PersistentVolumeClaim", claim)
}

// lastEvent is what the last event of an object says, behind a colon; empty if
// there is none.
func lastEvent(ctx context.Context, c *kube.Client, namespace, kind, name string) string {
	events, err := c.Clientset().CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=" + kind + ",involvedObject.name=" + name,
	})
	if err != nil || len(events.Items) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(kube.LatestEvent(events.Items).Message)
}

// write puts text into a file of a pod; read gives what is there.
func (r *run) write(ctx context.Context, pod, file, text string) error {
	_, stderr, err := r.options.Client.Exec(ctx, r.namespace, pod, probeContainer,
		[]string{"sh", "-c", `cat > "$0" && sync`, file}, strings.NewReader(text))
	return withStderr(fmt.Sprintf("write %s in %s", file, pod), err, stderr)
}

func (r *run) read(ctx context.Context, pod, file string) (string, error) {
	stdout, stderr, err := r.options.Client.Exec(ctx, r.namespace, pod, probeContainer, []string{"cat", file}, nil)
	return string(stdout), withStderr(fmt.Sprintf("read %s in %s", file, pod), err, stderr)
}

func withStderr(what string, err error, stderr []byte) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", what, err, head(strings.TrimSpace(string(stderr)), 400))
}

// letGo deletes a probe's pods, workloads and claims of that prefix, so that
// their volumes go while other probes are under way. What cannot be deleted
// now goes with the namespace.
func (r *run) letGo(ctx context.Context, prefix string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.pace.limit(attemptTimeout))
	defer cancel()
	set := r.options.Client.Clientset()
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

// deletePod deletes a pod, and waits until it is gone.
func (r *run) deletePod(ctx context.Context, pod string) error {
	pods := r.options.Client.Clientset().CoreV1().Pods(r.namespace)
	old, err := pods.Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := pods.Delete(ctx, pod, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return r.await(ctx, kube.PodGone(r.namespace, pod, old.UID), startTime)
}

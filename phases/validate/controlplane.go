package validate

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
)

// controlPlaneTasks check the components of a kubeadm cluster.
func controlPlaneTasks(_ context.Context, r *run) []task {
	components := []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
	if !r.cluster.ExternalEtcd() {
		components = append(components, "etcd")
	}
	var tasks []task
	for _, t := range r.controlPlanes() {
		for _, component := range components {
			tasks = append(tasks, task{target: component + " on " + t.Name, try: func(ctx context.Context) (string, error) {
				if t.off() {
					return "", skip(t.Name + " is unreachable")
				}
				// kubelet names the mirror of a static pod NAME-NODE.
				return r.staticPod(ctx, component+"-"+t.Name)
			}})
		}
	}
	tasks = append(tasks, r.condition("kube-proxy", kube.DaemonSetReady(metav1.NamespaceSystem, "kube-proxy")))
	if r.cluster.Network.CNI.Name == "flannel" {
		// The names in the manifest of Flannel, which slipway keeps.
		tasks = append(tasks, r.condition("flannel", kube.DaemonSetReady("kube-flannel", "kube-flannel-ds")))
	}
	return append(tasks, r.coreDNS())
}

// coreDNS checks the Deployment. While a host is off, replicas may be missing: the
// cluster starts another one in place of that of the host only after 5 minutes.
func (r *run) coreDNS() task {
	all := r.condition("coredns", kube.DeploymentReady(metav1.NamespaceSystem, "coredns"))
	if !r.someOff() {
		return all
	}
	return task{target: all.target, try: func(ctx context.Context) (string, error) {
		evidence, err := all.try(ctx)
		if err == nil {
			return evidence, nil
		}
		if d, failure := r.client.ReadDNSReplicas(ctx); failure == nil && d.Ready() > 0 {
			return "", degraded(fmt.Sprintf("%d of %d replicas ready", d.Ready(), d.Wanted))
		}
		return "", err
	}}
}

func (r *run) staticPod(ctx context.Context, name string) (string, error) {
	pod, err := r.client.Clientset().CoreV1().Pods(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("pod kube-system/%s does not exist", name)
	}
	if err != nil {
		return "", err
	}
	if ready, why := kube.PodIsReady(pod); !ready {
		return "", fmt.Errorf("%s, %s", why, restarts(pod))
	}
	return "Ready, " + restarts(pod), nil
}

func restarts(pod *corev1.Pod) string {
	var count int32
	for _, status := range pod.Status.ContainerStatuses {
		count += status.RestartCount
	}
	if count == 1 {
		return "1 restart"
	}
	return fmt.Sprintf("%d restarts", count)
}

// condition is a task that checks a condition of kube.
func (r *run) condition(target string, condition kube.Condition) task {
	return task{target: target, try: func(ctx context.Context) (string, error) {
		done, seen, err := condition.Check(ctx, r.client)
		if err == nil && !done {
			err = errors.New(seen)
		}
		return seen, err
	}}
}

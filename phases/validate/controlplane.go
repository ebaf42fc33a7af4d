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

// controlPlaneTasks look at what a kubeadm cluster runs itself on.
func controlPlaneTasks(_ context.Context, r *run) []task {
	components := []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
	if !externalEtcd(r.options.Cluster.Kubernetes.ClusterConfiguration) {
		components = append(components, "etcd")
	}
	var tasks []task
	for _, host := range r.options.Cluster.ControlPlanes() {
		for _, component := range components {
			// kubelet names the mirror of a static pod NAME-NODE.
			tasks = append(tasks, task{target: component + " on " + host.Name, once: func(ctx context.Context) (string, error) {
				return r.staticPod(ctx, component+"-"+host.Name)
			}})
		}
	}
	tasks = append(tasks, r.condition("kube-proxy", kube.DaemonSetReady(metav1.NamespaceSystem, "kube-proxy")))
	if r.options.Cluster.Network.CNI.Name == "flannel" {
		// The names of Flannel's own manifest, which slipway keeps.
		tasks = append(tasks, r.condition("flannel", kube.DaemonSetReady("kube-flannel", "kube-flannel-ds")))
	}
	return append(tasks, r.condition("coredns", kube.DeploymentReady(metav1.NamespaceSystem, "coredns")))
}

// externalEtcd reads kubeadm's etcd.external off the overrides.
func externalEtcd(clusterConfiguration map[string]any) bool {
	etcd, _ := clusterConfiguration["etcd"].(map[string]any)
	return etcd["external"] != nil
}

func (r *run) staticPod(ctx context.Context, name string) (string, error) {
	pod, err := r.options.Client.Clientset().CoreV1().Pods(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
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

// condition makes a task of what kube can wait for.
func (r *run) condition(target string, condition kube.Condition) task {
	return task{target: target, once: func(ctx context.Context) (string, error) {
		done, seen, err := condition.Check(ctx, r.options.Client)
		if err == nil && !done {
			err = errors.New(seen)
		}
		return seen, err
	}}
}

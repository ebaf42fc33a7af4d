package validate

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
)

// versionLabel is the version that a pod of the Deployment has.
const versionLabel = "slipway.io/version"

// rolloutTasks roll a Deployment forward and back.
func rolloutTasks(_ context.Context, r *run) []task {
	return []task{{timeout: workloadTimeout, try: func(ctx context.Context) (string, error) {
		for _, version := range []string{"v1", "v2", "v1"} {
			if err := r.roll(ctx, "rollout", version); err != nil {
				return "", fmt.Errorf("%s: %w", version, err)
			}
		}
		revisions, err := r.revisions(ctx, "rollout")
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("rolled to v1, v2 and back to v1 with 2 replicas, never fewer available; %d revisions kept", revisions), nil
	}}}
}

// roll applies a version of a Deployment, and checks that only pods of that
// version remain.
func (r *run) roll(ctx context.Context, name, version string) error {
	data := r.workload(name)
	data.Version = version
	if err := r.apply(ctx, "rollout", data); err != nil {
		return err
	}
	if err := r.await(ctx, kube.DeploymentReady(r.namespace, name), startTimeout); err != nil {
		return err
	}
	pods, err := r.client.Clientset().CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil && pod.Labels[versionLabel] != version {
			return fmt.Errorf("pod %s still has version %s after the rollout", pod.Name, pod.Labels[versionLabel])
		}
	}
	return nil
}

// revisions counts the ReplicaSets that a rollback could return to.
func (r *run) revisions(ctx context.Context, name string) (int, error) {
	sets, err := r.client.Clientset().AppsV1().ReplicaSets(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	if err != nil {
		return 0, err
	}
	return len(sets.Items), nil
}

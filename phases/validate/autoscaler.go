package validate

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
)

// autoscalerTasks check that a HorizontalPodAutoscaler reads metrics.
func autoscalerTasks(_ context.Context, r *run) []task {
	if !r.cluster.Expects(config.AddonMetricsServer) {
		return skipped("the inventory has no metrics-server addon")
	}
	return []task{{timeout: workloadTimeout, try: func(ctx context.Context) (string, error) {
		if err := r.roll(ctx, "scaled", "v1"); err != nil {
			return "", err
		}
		data := r.workload("scaled")
		data.Target = data.Name
		if err := r.apply(ctx, "autoscaler", data); err != nil {
			return "", err
		}
		seen := ""
		err := r.await(ctx, autoscalerActive(r.namespace, data.Name, &seen), workloadTimeout)
		return seen, err
	}}}
}

// autoscalerActive: the autoscaler has read the memory usage of the pods.
func autoscalerActive(namespace, name string, seen *string) kube.Condition {
	return kube.Condition{Name: "autoscaler " + name, Check: func(ctx context.Context, c *kube.Client) (bool, string, error) {
		scaler, err := c.Clientset().AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		for _, metric := range scaler.Status.CurrentMetrics {
			if metric.Resource != nil && metric.Resource.Current.AverageValue != nil {
				*seen = fmt.Sprintf("the autoscaler reads %s of memory per pod", metric.Resource.Current.AverageValue)
				return true, *seen, nil
			}
		}
		for _, condition := range scaler.Status.Conditions {
			if condition.Type == autoscalingv2.ScalingActive && condition.Status != corev1.ConditionTrue {
				return false, condition.Reason + ": " + condition.Message, nil
			}
		}
		return false, "the autoscaler has not read metrics yet", nil
	}}
}

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

// autoscalerTasks have an autoscaler read metrics.
func autoscalerTasks(_ context.Context, r *run) []task {
	if !r.options.Cluster.Expects(config.AddonMetricsServer) {
		return skipped("the inventory has no metrics-server")
	}
	if r.namespace == "" {
		return r.noNamespace()
	}
	return []task{{lasts: workloadTime, once: func(ctx context.Context) (string, error) {
		if err := r.roll(ctx, "scaled", "v1"); err != nil {
			return "", err
		}
		data := r.workload("scaled")
		data.Target = data.Name
		if err := r.apply(ctx, "autoscaler", data); err != nil {
			return "", err
		}
		seen := ""
		err := r.await(ctx, autoscalerActive(r.namespace, data.Name, &seen), workloadTime)
		return seen, err
	}}}
}

// autoscalerActive: the autoscaler has read how much memory the pods use.
func autoscalerActive(namespace, name string, seen *string) kube.Condition {
	return kube.Condition{Name: "autoscaler " + name, Check: func(ctx context.Context, c *kube.Client) (bool, string, error) {
		scaler, err := c.Clientset().AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		for _, metric := range scaler.Status.CurrentMetrics {
			if metric.Resource != nil && metric.Resource.Current.AverageValue != nil {
				*seen = fmt.Sprintf("%s a pod of memory, measured by the autoscaler", metric.Resource.Current.AverageValue)
				return true, *seen, nil
			}
		}
		for _, condition := range scaler.Status.Conditions {
			if condition.Type == autoscalingv2.ScalingActive && condition.Status != corev1.ConditionTrue {
				return false, condition.Reason + ": " + condition.Message, nil
			}
		}
		return false, "the autoscaler has not looked yet", nil
	}}
}

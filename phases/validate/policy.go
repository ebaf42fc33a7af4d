package validate

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/config"
)

const policyLabel = "slipway.io/let-in"

// policyTasks see that a NetworkPolicy lets in and keeps out.
func policyTasks(_ context.Context, r *run) []task {
	switch r.options.Cluster.Network.CNI.Name {
	case config.CNICalico:
	case config.CNIFlannel:
		return skipped("flannel enforces no NetworkPolicy")
	default:
		return skipped("whether your own pod network enforces NetworkPolicies is not known")
	}
	if r.fixture == nil {
		return skipped("there are no test pods")
	}
	return []task{{lasts: workloadTime, once: r.policy}}
}

func (r *run) policy(ctx context.Context) (string, error) {
	var working []bedNode
	for _, node := range r.fixture.nodes {
		if node.trouble == "" {
			working = append(working, node)
		}
	}
	if len(working) < 2 {
		return "", skipError{"it takes two test pods"}
	}
	in, out := working[0], working[1]
	data := r.workload("policy")
	data.Label = policyLabel
	if err := r.apply(ctx, "policy", data); err != nil {
		return "", err
	}
	pod, err := r.podReady(ctx, data.Name, "")
	if err != nil {
		return "", err
	}
	label := fmt.Sprintf(`{"metadata":{"labels":{%q:"true"}}}`, policyLabel)
	_, err = r.options.Client.Clientset().CoreV1().Pods(r.namespace).Patch(ctx, in.pod, types.MergePatchType, []byte(label), metav1.PatchOptions{})
	if err != nil {
		return "", err
	}
	q := question{protocol: "http", host: pod.Status.PodIP, port: httpPort, request: "hostname"}
	return r.persist(ctx, task{once: func(ctx context.Context) (string, error) {
		if _, err := r.fixture.prober.ask(ctx, in.pod, q); err != nil {
			return "", fmt.Errorf("%s, which the policy lets in, does not get through: %w", in.pod, err)
		}
		if got, err := r.fixture.prober.ask(ctx, out.pod, q); err == nil {
			return "", fmt.Errorf("%s, which the policy keeps out, is answered by %s", out.pod, got.by())
		}
		return fmt.Sprintf("%s is let in, %s is kept out", in.pod, out.pod), nil
	}}, podPatience)
}

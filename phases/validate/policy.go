package validate

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/config"
)

// policyLabel selects the pods that the NetworkPolicy allows.
const policyLabel = "slipway.io/policy-allows"

// policyTasks check that a NetworkPolicy allows and denies traffic.
func policyTasks(_ context.Context, r *run) []task {
	switch r.cluster.Network.CNI.Name {
	case config.CNICalico:
		return []task{{timeout: workloadTimeout, try: r.policy}}
	case config.CNIFlannel:
		return skipped("Flannel does not enforce NetworkPolicies")
	}
	return skipped("slipway does not know whether your pod network enforces NetworkPolicies")
}

func (r *run) policy(ctx context.Context) (string, error) {
	var ready []testNode
	for _, node := range r.fixture.nodes {
		if node.failure == "" {
			ready = append(ready, node)
		}
	}
	if len(ready) < 2 {
		return "", skip("the probe needs two ready test pods")
	}
	allowed, denied := ready[0].pod, ready[1].pod
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
	_, err = r.client.Clientset().CoreV1().Pods(r.namespace).Patch(ctx, allowed, types.MergePatchType, []byte(label), metav1.PatchOptions{})
	if err != nil {
		return "", err
	}
	q := hostname(pod.Status.PodIP, httpPort)
	return r.retry(ctx, podRetryTime, func(ctx context.Context) (string, error) {
		if _, err := r.fixture.prober.send(ctx, allowed, q); err != nil {
			return "", fmt.Errorf("the policy allows %s, but it gets no answer: %w", allowed, err)
		}
		got, err := r.fixture.prober.send(ctx, denied, q)
		switch {
		case err == nil:
			return "", fmt.Errorf("the policy denies %s, but it gets an answer from %s", denied, got.by())
		case !errors.Is(err, errUnanswered):
			return "", fmt.Errorf("the request of %s, which the policy denies, fails for another reason: %w", denied, err)
		}
		return fmt.Sprintf("%s is allowed, %s is denied", allowed, denied), nil
	})
}

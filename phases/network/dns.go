package network

import (
	"context"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// DNS waits until CoreDNS has started.
func DNS() workflow.Phase {
	return workflow.Phase{
		Name:  "dns-ready",
		Title: "wait for CoreDNS to start",
		Why: "A node is ready as soon as it has a CNI configuration, even one that does not work. CoreDNS is the first pod " +
			"that needs a network.",
		Manual: []string{
			"kubectl -n kube-system rollout status deployment/coredns",
			"kubectl -n kube-system describe pods -l k8s-app=kube-dns    # why a pod does not start",
		},
		On:    workflow.Seed,
		Needs: []string{"nodes-ready"},
		Enabled: func(c *config.Cluster) bool {
			return wanted(c) && !kubeadm.Skips(c, "addon/coredns")
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			return workflow.WithHint(s.WaitFor(ctx, kube.CoreDNSStarted(), 0), dnsHint)
		},
	}
}

// dnsHint is what to do if CoreDNS does not start. The error has the reason.
const dnsHint = "if its pod gets no network, delete the configurations of other pod networks in /etc/cni/net.d on the node (see " +
	"`slipway explain cni-config`), then delete the pod; otherwise see `kubectl -n kube-system describe pods -l k8s-app=kube-dns`; " +
	"then rerun `slipway apply` to resume"

package network

import (
	"context"
	"errors"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// evictTimeout bounds the wait for a PodDisruptionBudget that allows to move a pod of
// CoreDNS.
const evictTimeout = time.Minute

// settleTimeout bounds the wait for the pod network on nodes that are ready: Calico starts
// after them.
const settleTimeout = 2 * time.Minute

// DNS waits until CoreDNS has started, and moves a replica if all are on one node.
func DNS() workflow.Phase {
	return workflow.Phase{
		Name:  "dns-ready",
		Title: "wait for CoreDNS to start, and spread it over nodes",
		Why: "A node is ready as soon as it has a CNI configuration, even one that does not work. CoreDNS is the first pod " +
			"that needs a network. kubeadm creates both replicas while there is one node, and nothing moves them later: " +
			"the loss of that node would end DNS.",
		Manual: []string{
			"kubectl -n kube-system rollout status deployment/coredns",
			"kubectl -n kube-system describe pods -l k8s-app=kube-dns    # why a pod does not start",
			"kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide    # are all on one node? Delete one",
		},
		On:    workflow.Seed,
		Needs: []string{"nodes-ready"},
		Enabled: func(c *config.Cluster) bool {
			return wanted(c) && !kubeadm.Skips(c, "addon/coredns")
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			if err := s.WaitFor(ctx, kube.CoreDNSStarted(), 0); err != nil {
				return workflow.WithHint(err, dnsHint)
			}
			if len(s.Hosts().Nodes()) < 2 {
				return nil
			}
			return workflow.WithHint(spreadDNS(ctx, s), dnsHint)
		},
	}
}

// spreadDNS evicts a replica of CoreDNS if all are on one node and another node can
// take one, and waits until all are ready again. DNS keeps a ready replica meanwhile. If
// none is ready yet, as in a new cluster, all need only start, as before the eviction:
// kubelet repeats their readiness probe every 10 s only. The scheduler prefers a node without a replica (the podAntiAffinity of
// kubeadm's Deployment).
func spreadDNS(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if errors.Is(err, host.ErrPlanned) {
		return nil
	}
	if err != nil {
		return err
	}
	replicas, err := client.ReadDNSReplicas(ctx)
	if err != nil {
		return err
	}
	if replicas.Unsettled() {
		// The cluster works with all replicas on one node too.
		if err := s.WaitFor(ctx, kube.DNSNodesSettled(), settleTimeout); ctx.Err() != nil {
			return err
		}
		if replicas, err = client.ReadDNSReplicas(ctx); err != nil {
			return err
		}
	}
	node := replicas.Crowded()
	if node == "" {
		return nil
	}
	pod := replicas.Removable()
	if err := s.WaitFor(ctx, kube.Evicted(pod), evictTimeout); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.Note("all replicas of CoreDNS stay on %s, although %s can take one: %v", node, strings.Join(replicas.Elsewhere(), ", "), err)
		return nil
	}
	s.Changed("evicted pod kube-system/%s from %s, the node of all replicas of CoreDNS", pod.Name, node)
	restored := kube.CoreDNSReady()
	if replicas.Ready() == 0 {
		restored = kube.CoreDNSRuns()
	}
	if err := s.WaitFor(ctx, restored, 0); err != nil || s.Planning() {
		return err
	}
	if replicas, err = client.ReadDNSReplicas(ctx); err == nil && replicas.Crowded() != "" {
		s.Note("the scheduler has placed all replicas of CoreDNS on %s again", replicas.Crowded())
	}
	return err
}

// dnsHint is what to do if CoreDNS does not start. The error has the reason.
const dnsHint = "if its pod gets no network, delete the configurations of other pod networks in /etc/cni/net.d on the node (see " +
	"`slipway explain cni-config`), then delete the pod; otherwise see `kubectl -n kube-system describe pods -l k8s-app=kube-dns`; " +
	"then rerun `slipway apply` to resume"

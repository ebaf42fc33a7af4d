package nodes

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// workerRole shows in `kubectl get nodes`. kubeadm sets the one for control
// planes; kubelets may not set either themselves.
const workerRole = "node-role.kubernetes.io/worker"

// Metadata sets labels and taints of the Nodes.
func Metadata() workflow.Phase {
	return workflow.Phase{
		Name:  "node-metadata",
		Title: "set the node's labels and taints",
		Why:   "Labels and taints follow the inventory: what it no longer names is taken away, what others set stays.",
		Manual: []string{
			"kubectl label node NODE KEY=VALUE",
			"kubectl taint node NODE KEY=VALUE:EFFECT",
		},
		On:    workflow.EachHost,
		Needs: []string{"kubeadm-init", "join"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			host := s.Target.Config
			labels := map[string]string{}
			if host.Has(config.RoleWorker) {
				labels[workerRole] = ""
			}
			for key, value := range host.Labels {
				labels[key] = value
			}
			taints := []corev1.Taint{}
			for _, t := range s.Cluster().DefaultTaints(host) {
				taints = append(taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
			}
			return s.SetNode(ctx, labels, taints)
		},
	}
}

// Ready waits until every node is.
func Ready() workflow.Phase {
	return workflow.Phase{
		Name:     "nodes-ready",
		Title:    "wait for every node to be ready",
		Why:      "A run that ends well leaves a cluster that takes work.",
		Manual:   []string{"kubectl wait --for=condition=Ready nodes --all --timeout=5m"},
		On:       workflow.Seed,
		Needs:    []string{"cni"},
		NeedsAll: []string{"node-metadata"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			if s.Planning() || s.Cluster().Network.CNI.Name == "none" {
				return nil
			}
			err := s.WaitFor(ctx, kube.AllNodesReady(s.Hosts().Names()...), 0)
			return workflow.WithHint(err, "look at the pods that do not start: kubectl get pods -A; then run apply again")
		},
	}
}

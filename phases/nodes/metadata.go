package nodes

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// workerRole is shown by `kubectl get nodes`. kubeadm sets the one for control
// planes; kubelets may not set either.
const workerRole = "node-role.kubernetes.io/worker"

// Metadata sets the labels and taints of the Nodes.
func Metadata() workflow.Phase {
	return workflow.Phase{
		Name:  "node-metadata",
		Title: "set the node's labels and taints",
		Why:   "Labels and taints follow the inventory: those that it no longer lists are removed, those of others stay.",
		Manual: []string{
			"kubectl label node NODE KEY=VALUE",
			"kubectl taint node NODE KEY=VALUE:EFFECT",
		},
		On:    workflow.Nodes,
		Needs: []string{"kubeadm-init", "join-control-plane", "join"},
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

// Ready waits until every node is ready.
func Ready() workflow.Phase {
	return workflow.Phase{
		Name:  "nodes-ready",
		Title: "wait for every node to be ready",
		Why: "After a successful run the cluster accepts workloads. Nodes without a host in the inventory are reported, and not " +
			"waited for: nobody may ever start them again.",
		Manual:   []string{"kubectl wait --for=condition=Ready nodes --all --timeout=5m"},
		On:       workflow.Seed,
		Needs:    []string{"cni"},
		NeedsAll: []string{"node-metadata"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			if s.Cluster().Network.CNI.Name == config.CNINone {
				return nil // nodes are not ready without a pod network
			}
			reportForeign(s)
			var names []string
			for _, h := range s.Hosts().Nodes() {
				if h.Unreachable() == nil {
					names = append(names, h.Config.Name)
				}
			}
			err := s.WaitFor(ctx, kube.NodesReady(names...), 0)
			return workflow.WithHint(err, "see which pods do not start: kubectl get pods -A; then rerun `slipway apply` to resume")
		},
	}
}

// reportForeign notes the Nodes that had no host in the inventory when the run
// started. Only a person knows whether they are gone for good. Hosts that leave the
// cluster are in the inventory.
func reportForeign(s *workflow.Step) {
	state := s.Hosts().State()
	if state == nil {
		return
	}
	for _, node := range state.Nodes {
		if slices.Contains(s.Cluster().Names(), node.Name) {
			continue
		}
		s.Note("node %s is not in the inventory, and stays; to remove it, add its host with state: absent, or with state: lost if the host does not exist any more", node.Name)
	}
}

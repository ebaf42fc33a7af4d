package nodes

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// Drain moves the pods of a host that leaves the cluster to other nodes.
func Drain() workflow.Phase {
	return workflow.Phase{
		Name:  "drain",
		Title: "drain the node",
		Why: "Pods are evicted before their host stops, so that they start elsewhere first where a PodDisruptionBudget asks " +
			"for it. slipway waits until the budgets allow each eviction. Pods of DaemonSets stay, and emptyDir volumes are lost.",
		Manual: []string{"kubectl drain NODE --ignore-daemonsets --delete-emptydir-data --force"},
		On:     workflow.EachHost,
		Needs:  []string{"lock"},
		// The state of the cluster depends on all hosts.
		NeedsAll: []string{"facts"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			node, err := s.Hosts().State().KnownNode(s.Target.Config.Name)
			return node == nil, err
		},
		Do: drain,
	}
}

func drain(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	name := s.Target.Config.Name
	if err := cordon(ctx, s, client, kube.CordonedForRemoval); err != nil {
		return err
	}
	done, err := client.Drain(ctx, name, s.WaitOptions("drain"))
	reportDrain(s, done)
	if err != nil {
		return workflow.WithHint(err, fmt.Sprintf(
			"start more replicas, or change the PodDisruptionBudget, or wait longer with --timeout; then rerun `slipway apply` to resume. To keep the node, set the state back and run `slipway node uncordon %s`", name))
	}
	return nil
}

// cordon keeps new pods from the node of the host.
func cordon(ctx context.Context, s *workflow.Step, client *kube.Client, reason kube.CordonReason) error {
	cordoned, err := client.Cordon(ctx, s.Target.Config.Name, reason)
	if cordoned {
		s.Changed("cordon node %s", s.Target.Config.Name)
	}
	return err
}

// reportDrain counts the evictions as changes.
func reportDrain(s *workflow.Step, done *kube.Drained) {
	for _, pod := range done.Evicted {
		s.Changed("evict pod %s", pod)
	}
	for _, blocked := range done.Blocked {
		s.Changed("evict pod %s", blocked)
	}
	if len(done.Unmanaged) > 0 {
		s.Note("no controller starts these pods on another node: %s", strings.Join(done.Unmanaged, ", "))
	}
}

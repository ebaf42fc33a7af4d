package nodes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// DrainTurn moves the pods of a host to other nodes before its turn in a roll changes it,
// and waits until they are ready there. The caller sets On and Needs.
func DrainTurn(roll *workflow.Roll) workflow.Phase {
	return workflow.Phase{
		Name:  "drain-" + roll.Name,
		Title: "drain the node before it changes",
		Why: "Pods are evicted as their PodDisruptionBudgets allow it, and the host changes when they are ready on other nodes: " +
			"a workload with several replicas does not notice. Pods that fit on no other node are named, and start again " +
			"on this one. Pods of DaemonSets stay, and emptyDir volumes are lost.",
		Manual:       []string{"kubectl drain NODE --ignore-daemonsets --delete-emptydir-data --force", "kubectl get pods -A -o wide --watch"},
		Roll:         roll,
		OnDisruption: true,
		Do:           func(ctx context.Context, s *workflow.Step) error { return drainTurn(ctx, s, roll) },
	}
}

func drainTurn(ctx context.Context, s *workflow.Step, roll *workflow.Roll) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	name := s.Target.Config.Name
	if err := cordon(ctx, s, client, kube.CordonedForRoll); err != nil {
		return err
	}
	done, err := client.Drain(ctx, name, s.WaitOptions("drain"))
	reportDrain(s, done)
	if roll.Moved != nil && !s.Planning() {
		roll.Moved(name, len(done.Evicted))
	}
	if err != nil {
		return workflow.WithHint(err,
			"start more replicas, or change the PodDisruptionBudget, or wait longer with --timeout; then rerun `slipway apply` to resume")
	}
	stuck, err := client.Replaced(ctx, done, s.WaitOptions("evicted pods"))
	if len(stuck) > 0 {
		s.Note("these pods fit on no other node, and start again when %s has changed: %s", name, strings.Join(stuck, "; "))
	}
	if err != nil {
		return workflow.WithHint(err, fmt.Sprintf(
			"find out why these pods do not start; then rerun `slipway apply` to resume. Node %s is cordoned and has not changed: slipway uncordons it in the same apply", name))
	}
	return nil
}

// UncordonTurn ends the turn of a host: new pods may run on it, if slipway has cordoned
// it, and those that fit on no other node are ready again before the next turn. A node
// that somebody else has cordoned, or that is cordoned for maintenance, stays cordoned.
//
// It runs also if the turn is not disruptive: an interrupted run may have left the node
// cordoned after its change. The caller sets On and Needs.
func UncordonTurn(roll *workflow.Roll) workflow.Phase {
	return workflow.Phase{
		Name:  "uncordon-" + roll.Name,
		Title: "uncordon the node after it has changed",
		Why: "Only what slipway has cordoned is uncordoned, also after a run that was interrupted. " +
			"The next host changes when the pods that fit on no other node are ready again.",
		Manual: []string{"kubectl uncordon NODE"},
		Roll:   roll,
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			// The Node is as it was before the roll, unless its turn is disruptive.
			node := s.Hosts().State().Node(s.Target.Config.Name)
			return !s.Disruptive() && (node == nil || !slices.Contains(uncordonable, node.CordonReason)), nil
		},
		Do: uncordonTurn,
	}
}

// uncordonable are the reasons that end with the turn of a host. A host that was to leave
// stays.
var uncordonable = []kube.CordonReason{kube.CordonedForRoll, kube.CordonedForRemoval}

func uncordonTurn(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	name := s.Target.Config.Name
	var stuck []corev1.Pod
	if !s.Planning() {
		if s.Cluster().Network.CNI.Name != config.CNINone { // nodes are not ready without a pod network
			if err := s.WaitFor(ctx, kube.NodesReady(name), 0); err != nil {
				return workflow.WithHint(err, fmt.Sprintf("see `journalctl -u kubelet` on %s; then rerun `slipway apply` to resume: it uncordons the node", name))
			}
		}
		if stuck, err = client.Unschedulable(ctx, name); err != nil {
			return err
		}
	}
	uncordoned, err := client.Uncordon(ctx, name, uncordonable...)
	if err != nil {
		return err
	}
	if s.Planning() && !uncordoned && s.Disruptive() {
		// The plan has not cordoned it.
		node := s.Hosts().State().Node(name)
		uncordoned = node == nil || !node.Cordoned
	}
	if !uncordoned {
		return nil
	}
	s.Changed("uncordon node %s", name)
	err = client.Returned(ctx, name, stuck, s.WaitOptions("pods"))
	return workflow.WithHint(err, "find out why these pods do not start: kubectl get pods -A; then rerun `slipway apply` to resume")
}

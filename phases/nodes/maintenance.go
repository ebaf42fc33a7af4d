package nodes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// Cordon keeps new pods from hosts that get maintenance. All of them are cordoned before
// the first one is drained: its pods do not move to the next one.
func Cordon() workflow.Phase {
	return workflow.Phase{
		Name:     "cordon",
		Title:    "cordon the node for maintenance",
		Why:      "New pods start on other nodes. An apply leaves the node cordoned, until it is uncordoned by hand.",
		Manual:   []string{"kubectl cordon NODE"},
		Needs:    []string{"lock"},
		NeedsAll: []string{"cluster"},
		Offline:  true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			client, _, err := nodeOf(ctx, s)
			if err != nil {
				return err
			}
			return cordon(ctx, s, client, kube.CordonedForMaintenance)
		},
	}
}

// Evict moves the pods of hosts that get maintenance to other nodes.
func Evict() workflow.Phase {
	return workflow.Phase{
		Name:  "drain",
		Title: "drain the node for maintenance",
		Why: "Pods are evicted as their PodDisruptionBudgets allow it, and slipway waits until they are ready on other nodes. " +
			"Pods of DaemonSets stay, and emptyDir volumes are lost.",
		Manual:   []string{"kubectl drain NODE --ignore-daemonsets --delete-emptydir-data --force"},
		NeedsAll: []string{"cordon"},
		Offline:  true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			client, name, err := nodeOf(ctx, s)
			if err != nil {
				return err
			}
			again := fmt.Sprintf("rerun `slipway node drain %s` to resume, or end it with `slipway node uncordon %s`", name, name)
			done, err := client.Drain(ctx, name, s.WaitOptions("drain"))
			reportDrain(s, done)
			if err != nil {
				return workflow.WithHint(err, "start more replicas, or change the PodDisruptionBudget, or wait longer with --timeout; then "+again)
			}
			stuck, err := client.Replaced(ctx, done, s.WaitOptions("evicted pods"))
			if len(stuck) > 0 {
				s.Note("these pods fit on no other node, and start again when %s is uncordoned: %s", name, strings.Join(stuck, "; "))
			}
			if err != nil {
				return workflow.WithHint(err, "find out why these pods do not start; then "+again)
			}
			return nil
		},
	}
}

// Uncordon ends the maintenance of hosts.
func Uncordon() workflow.Phase {
	return workflow.Phase{
		Name:     "uncordon",
		Title:    "uncordon the node",
		Why:      "New pods may run on the node again. A node that somebody else has cordoned stays cordoned.",
		Manual:   []string{"kubectl uncordon NODE"},
		Needs:    []string{"lock"},
		NeedsAll: []string{"cluster"},
		Offline:  true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			client, name, err := nodeOf(ctx, s)
			if err != nil {
				return err
			}
			uncordoned, err := client.Uncordon(ctx, name, kube.CordonedForMaintenance, kube.CordonedForRoll, kube.CordonedForRemoval)
			if uncordoned {
				s.Changed("uncordon node %s", name)
			}
			if node := s.Hosts().State().Node(name); err == nil && !uncordoned && node != nil && node.Cordoned && node.CordonReason == "" {
				return workflow.WithHint(errors.New("somebody else has cordoned the node, and it stays cordoned"), "uncordon it with: kubectl uncordon "+name)
			}
			return err
		},
	}
}

// nodeOf returns a client of the cluster, and the name of the Node of a host, which must
// exist.
func nodeOf(ctx context.Context, s *workflow.Step) (*kube.Client, string, error) {
	name := s.Target.Config.Name
	node, err := s.Hosts().State().KnownNode(name)
	if err == nil && node == nil {
		err = workflow.WithHint(errors.New("the host is no node of the cluster"), "run `slipway status` to list the nodes")
	}
	if err != nil {
		return nil, "", err
	}
	client, err := s.Kube(ctx)
	return client, name, err
}

package reset

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/workflow"
)

// nodeTimeout bounds the deletion of a Node: the cluster may be gone.
const nodeTimeout = 30 * time.Second

// Node deletes the Node of a host from a cluster that stays.
func Node() workflow.Phase {
	return workflow.Phase{
		Name:  "node",
		Title: "delete the Node of the host",
		Why: "A Node without a host stays NotReady, and its pods stay Terminating. Nothing is deleted when all control " +
			"planes are reset.",
		Manual: []string{"kubectl delete node NODE"},
		On:     workflow.Nodes,
		Needs:  []string{"stop"},
		Done: func(ctx context.Context, s *workflow.Step) (bool, error) {
			if !slices.ContainsFunc(staying(s), hasCluster) {
				return true, nil
			}
			return notOurs(ctx, s)
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			limited, cancel := context.WithTimeout(ctx, nodeTimeout)
			defer cancel()
			err := DeleteNode(limited, s)
			if err != nil && ctx.Err() == nil {
				name := s.Target.Config.Name
				s.Note("could not delete node %s: %v; delete it with `kubectl delete node %s`", name, err, name)
				return nil
			}
			return err
		},
	}
}

// hasCluster reports whether a control plane may have a cluster. After a reset of the
// control planes, the workers are left with a cluster that no longer exists.
func hasCluster(h *workflow.Host) bool { return h.Facts() == nil || h.Facts().Joined() }

// DeleteNode deletes the Node of the host, unless it belongs to another machine.
func DeleteNode(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	nodes, name := client.Clientset().CoreV1().Nodes(), s.Target.Config.Name
	node, err := nodes.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	// Another machine may have joined with the name of this host.
	if id := node.Status.NodeInfo.MachineID; id != "" && s.Facts().MachineID != "" && id != s.Facts().MachineID {
		return fmt.Errorf("it belongs to another machine, with the ID %s", id)
	}
	deleted, err := client.DeleteNode(ctx, name, node.UID)
	if deleted {
		s.Changed("delete node %s", name)
	}
	return err
}

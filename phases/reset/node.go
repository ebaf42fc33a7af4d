package reset

import (
	"context"
	"slices"
	"time"

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
			err := s.DeleteNode(limited)
			if err != nil && ctx.Err() == nil {
				name := s.Target.Config.Name
				s.Note("could not delete node %s: %v; unless another machine has its name, delete it with `kubectl delete node %s`", name, err, name)
				return nil
			}
			return err
		},
	}
}

// hasCluster reports whether a control plane may have a cluster. After a reset of the
// control planes, the workers are left with a cluster that no longer exists.
func hasCluster(h *workflow.Host) bool { return h.Facts() == nil || h.Facts().Joined() }

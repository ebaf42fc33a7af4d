package nodes

import (
	"context"
	"errors"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// Tokens revokes the tokens of joins that nobody else revokes.
func Tokens() workflow.Phase {
	return workflow.Phase{
		Name:  "join-tokens",
		Title: "revoke the join tokens of runs that were killed",
		Why: "A run revokes the token of a join when the join has ended. If it was killed before, the token would stay valid " +
			"for 15 minutes.",
		Manual:   []string{"kubeadm token list; kubeadm token delete TOKEN    # on the control plane"},
		On:       workflow.Seed,
		NeedsAll: []string{"kubeadm-init", "join-control-plane", "join"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			client, err := s.Kube(ctx)
			if errors.Is(err, host.ErrPlanned) {
				return nil // a new cluster has none
			}
			if err != nil {
				return err
			}
			tokens, err := client.JoinTokens(ctx)
			if err != nil {
				return err
			}
			for _, id := range tokens {
				if err := client.DeleteBootstrapToken(ctx, id); err != nil {
					return err
				}
				s.Changed("revoke join token %s", id)
			}
			return nil
		},
	}
}

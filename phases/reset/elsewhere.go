package reset

import (
	"context"

	"slipway.io/slipway/provision/workflow"
)

// elsewhere reports whether the host leaves the cluster, and belongs to another one now: it
// has a CA that no control plane that stays has. Without a CA there, nothing is known.
func elsewhere(s *workflow.Step) bool {
	have := s.Facts().Kubernetes.CAHash()
	if s.Target.Config.Stays() || have == "" {
		return false
	}
	differs := false
	for _, h := range s.Hosts().ControlPlanes() {
		if !h.Config.Stays() || h.Facts() == nil {
			continue
		}
		switch h.Facts().Kubernetes.CAHash() {
		case "":
		case have:
			return false
		default:
			differs = true
		}
	}
	return differs
}

// noted is notOurs for the first phase on a host, and says why the host stays as it is.
func noted(ctx context.Context, s *workflow.Step) (bool, error) {
	if elsewhere(s) {
		s.Note("%s is absent in the inventory, and belongs to another cluster now: it stays as it is; delete it from the inventory", s.Target.Config.Name)
	}
	return notOurs(ctx, s)
}

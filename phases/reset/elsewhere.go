package reset

import (
	"context"

	"slipway.io/slipway/provision/workflow"
)

// elsewhere reports whether the host leaves the cluster, and may belong to another one now:
// it has a CA that no control plane that stays has. The control planes may have none any
// more: a reset of the cluster was repeated.
func elsewhere(s *workflow.Step) bool {
	have := s.Facts().Kubernetes.CAHash()
	if s.Target.Config.Stays() || have == "" {
		return false
	}
	stays := false
	for _, h := range s.Hosts().ControlPlanes() {
		if !h.Config.Stays() {
			continue
		}
		stays = true
		if h.Facts() != nil && h.Facts().Kubernetes.CAHash() == have {
			return false
		}
	}
	return stays
}

// noted is notOurs for the first phase on a host, and says why the host stays as it is.
func noted(ctx context.Context, s *workflow.Step) (bool, error) {
	if elsewhere(s) {
		s.Note("%s is absent in the inventory, and may belong to another cluster now: no control plane has its CA. It stays as it is; delete it from the inventory, or set state: present to reset it", s.Target.Config.Name)
	}
	return notOurs(ctx, s)
}

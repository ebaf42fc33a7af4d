package reset

import (
	"context"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// elsewhere reports whether the host leaves the cluster, and may belong to another one now.
func elsewhere(s *workflow.Step) bool {
	if s.Target.Config.Stays() {
		return false // the inventory says that it is of this cluster
	}
	switch s.Hosts().Departed(s.Target) {
	case cluster.ThisCluster:
		return false
	case cluster.AnotherCluster:
		return true
	}
	// Unknown: it is left alone, except where the facts or the cluster show more. Apply has
	// observed the cluster, a reset has not.
	f, state := s.Facts(), s.Hosts().State()
	known := state.Node(s.Target.Config.Name) != nil || s.Target.HasMemberIn(state)
	if f.Kubernetes.CAHash() != "" {
		// In a plan, the control planes that replace the seed have not joined yet. In a reset
		// that is repeated, those that stay have no CA any more, and the host may have joined
		// another cluster since.
		return !known || s.Hosts().Belongs(s.Target) != cluster.ThisCluster
	}
	// A host that was only prepared has nothing to lose. A CA that cannot be read may be that
	// of a node that runs, unless an interrupted reset has deleted it.
	return f.Joined() && !f.Exists(facts.ResetMark) && !known
}

// noted is notOurs for the first phase on a host, and says why the host stays as it is.
func noted(ctx context.Context, s *workflow.Step) (bool, error) {
	if elsewhere(s) {
		s.Note("%s is absent in the inventory, and may belong to another cluster now: no control plane is known to have its CA. It stays as it is; delete it from the inventory, or set state: present to reset it", s.Target.Config.Name)
	}
	return notOurs(ctx, s)
}

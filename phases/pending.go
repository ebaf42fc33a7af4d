package phases

import (
	"context"
	"errors"
	"slices"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Pending returns the names of the hosts that are to join and have not: those that cannot
// be reached, and, if a selected control plane leaves, the control planes that are not
// selected. Hosts that leave stay until the others can replace them.
func Pending(hosts *workflow.Hosts, selection workflow.Selection) (unreachable, unselected []string) {
	state := hosts.State()
	selected := func(h *workflow.Host) bool {
		return len(selection.Hosts) == 0 || slices.Contains(selection.Hosts, h.Config.Name)
	}
	leaves := (state == nil || state.Exists) && slices.ContainsFunc(hosts.Leaving, func(h *workflow.Host) bool {
		return isControlPlane(h) && selected(h)
	})
	for _, h := range hosts.Nodes() {
		switch {
		case joined(state, h):
		case h.Unreachable() != nil:
			unreachable = append(unreachable, h.Config.Name)
		case leaves && isControlPlane(h) && !selected(h):
			unselected = append(unselected, h.Config.Name)
		}
	}
	return unreachable, unselected
}

// joined reports whether a host is a node of the cluster and, if etcd runs on the control
// planes, has its member. While the API server does not answer, the facts of a control plane
// tell.
func joined(state *cluster.State, h *workflow.Host) bool {
	f := h.Facts()
	if !isControlPlane(h) {
		return state.Node(h.Config.Name) != nil
	}
	if f != nil && f.Joining() {
		return false // it has a Node before it has an API server
	}
	if !state.Answers() {
		return f != nil && f.Entrance()
	}
	return state.Node(h.Config.Name) != nil && (len(state.Members) == 0 || h.HasMemberIn(state))
}

// guarded lets a phase refuse to work on a control plane without a replacement. etcd does
// not refuse it if it runs elsewhere, and otherwise only after the node was drained.
func guarded(p workflow.Phase) workflow.Phase {
	do := p.Do
	p.Do = func(ctx context.Context, s *workflow.Step) error {
		if !s.Planning() && isControlPlane(s.Target) && s.Facts().Joined() && !replaced(s) {
			return workflow.WithHint(errors.New("no control plane that stays has joined: the cluster would end"),
				"run `slipway apply` without --hosts: new control planes join before others leave")
		}
		return do(ctx, s)
	}
	return p
}

// replaced reports whether a control plane that stays has joined. A plan does not ask: apply
// joins it before.
func replaced(s *workflow.Step) bool {
	return slices.ContainsFunc(s.Hosts().ControlPlanes(), func(h *workflow.Host) bool {
		return h.Config.Stays() && joined(s.Hosts().State(), h)
	})
}

func isControlPlane(h *workflow.Host) bool { return h.Config.Has(config.RoleControlPlane) }

package phases

import (
	"context"
	"slices"

	"slipway.io/slipway/phases/controlplane"
	"slipway.io/slipway/phases/endpoint"
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/nodes"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/reset"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// Remove removes hosts from a cluster that stays, and resets them. A run selects the
// hosts that Removal returns, among Hosts.WithLeaving. Apply comes first: new control
// planes join before others leave.
func Remove() workflow.Workflow {
	lock := hostprep.Lock(controlplane.Answers)
	lock.NeedsAll = []string{"cluster"}

	drain := guarded(nodes.Drain())
	// A host that was reset by hand may have left its member and its Node.
	member := reset.Member("")
	member.Needs = []string{"drain"}
	member.Done = func(_ context.Context, s *workflow.Step) (bool, error) {
		state := s.Hosts().State()
		return state.MembersErr == nil && !s.Target.HasMemberIn(state), nil
	}
	remove := member.Do
	member.Do = func(ctx context.Context, s *workflow.Step) error {
		err := remove(ctx, s)
		if err != nil && s.Planning() && joining(s) {
			return host.ErrPlanned
		}
		return err
	}
	stop := guarded(reset.Stop())
	stop.Needs = []string{"drain", "etcd-member"}
	node := reset.Node()
	node.Done = func(_ context.Context, s *workflow.Step) (bool, error) {
		left, err := s.Hosts().State().KnownNode(s.Target.Config.Name)
		return left == nil, err
	}
	node.Do = func(ctx context.Context, s *workflow.Step) error { return s.DeleteNode(ctx) }

	record := controlplane.Record()
	record.On, record.NeedsAll = workflow.Localhost, []string{"undo"}
	record.Done = func(_ context.Context, s *workflow.Step) (bool, error) {
		return !s.Hosts().State().Answers(), nil // also in the plan of a new cluster
	}

	return workflow.Workflow{Name: "remove", Phases: []workflow.Phase{
		preflight.Facts(),
		preflight.Cluster(),
		lock,
		drain,
		member,
		stop,
		node,
		reset.Network(),
		reset.Undo(),
		record,
	}}
}

// Balance updates the load balancer of the endpoint and the firewalls when hosts have left. Until
// then it knows them, since new control planes may join through them. A run has the hosts
// that stay, without Hosts.Leaving.
func Balance() workflow.Workflow {
	lock := hostprep.Lock(controlplane.Answers)
	lock.NeedsAll = []string{"facts"}
	firewall, haproxy, keepalived := hostprep.Firewall(), endpoint.HAProxy(), endpoint.Keepalived()
	firewall.Needs, haproxy.Needs = []string{"lock"}, []string{"lock"}
	for _, p := range []*workflow.Phase{&firewall, &haproxy, &keepalived} {
		// The plan of apply shows the whole configuration of a host that joins.
		p.Done = func(_ context.Context, s *workflow.Step) (bool, error) {
			return s.Planning() && !s.Facts().Joined(), nil
		}
	}
	return workflow.Workflow{Name: "balance", Phases: []workflow.Phase{preflight.Facts(), lock, firewall, haproxy, keepalived}}
}

// Unbalanced reports whether the load balancer of the endpoint has hosts that were
// removed, by their names.
func Unbalanced(c *config.Cluster, removed []string) bool {
	return c.HAProxy() && slices.ContainsFunc(c.Absent(), func(h config.Host) bool {
		return h.Has(config.RoleControlPlane) && slices.Contains(removed, h.Name)
	})
}

// LetIn reports whether firewalls that slipway opened may let hosts in that were removed.
func LetIn(c *config.Cluster, hosts *workflow.Hosts, removed []string) bool {
	return len(removed) > 0 && slices.ContainsFunc(hosts.All, func(h *workflow.Host) bool {
		return h.Facts() != nil && c.ManagesFirewall(h.Config) && len(distro.ActiveFirewalls(h.Facts())) > 0
	})
}

// joining reports whether a control plane that stays has no etcd member yet that votes:
// in a plan, apply has not joined it. The check etcd-quorum counts it.
func joining(s *workflow.Step) bool {
	votes := func(h *workflow.Host) bool {
		return slices.ContainsFunc(s.Hosts().State().Members, func(m kube.EtcdMember) bool { return !m.Learner && h.HasMember(m) })
	}
	return slices.ContainsFunc(s.Hosts().ControlPlanes(), func(h *workflow.Host) bool {
		return !s.Selected(h) && !votes(h)
	})
}

// Removal returns the names of the hosts of a selection that leave the cluster and are
// not removed yet, of those that are, and of those that slipway has prepared since, perhaps
// for another cluster. A run of Apply has read the hosts. A host that cannot be
// reached counts as removed if the cluster has nothing of it.
func Removal(hosts *workflow.Hosts, selection workflow.Selection) (remove, removed, elsewhere []string) {
	state := hosts.State()
	known := state != nil && (!state.Exists || state.Answers())
	for _, h := range slices.Concat(hosts.Leaving, hosts.Elsewhere) {
		name, f := h.Config.Name, h.Facts()
		if len(selection.Hosts) > 0 && !slices.Contains(selection.Hosts, name) {
			continue
		}
		prepared := f != nil && f.Exists(facts.Journal)
		left := !known && (f == nil || prepared) || prepared && ours(hosts, h)
		switch {
		case slices.Contains(hosts.Elsewhere, h):
			elsewhere = append(elsewhere, name)
		case left || state.Node(name) != nil || h.HasMemberIn(state):
			remove = append(remove, name)
		case prepared:
			elsewhere = append(elsewhere, name)
		default:
			removed = append(removed, name)
		}
	}
	return remove, removed, elsewhere
}

// ours reports whether what slipway did on a host was done for this cluster. If its CA does
// not tell, its removal was interrupted, or the journal may be that of another cluster, which
// has prepared the host since.
func ours(hosts *workflow.Hosts, h *workflow.Host) bool {
	belongs := hosts.Belongs(h)
	return belongs == cluster.ThisCluster || belongs == cluster.UnknownCluster && h.Facts().Exists(facts.ResetMark)
}

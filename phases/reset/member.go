package reset

import (
	"context"
	"fmt"
	"slices"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// AllHosts is the remedy of Member in a reset.
const AllHosts = "; or reset all hosts, without --hosts"

// Member removes the etcd member of a control plane from a cluster that stays. The
// remedy is what else to do if it cannot be removed.
func Member(remedy string) workflow.Phase {
	return workflow.Phase{
		Name:  "etcd-member",
		Title: "remove the etcd member of the control plane",
		Why: "A stopped member counts for the majority: the next failure stops the cluster. Nothing is removed when all " +
			"control planes are reset.",
		Manual: []string{
			"kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt --key /etc/kubernetes/pki/etcd/peer.key member remove ID    # on a control plane that stays",
		},
		On:    workflow.ControlPlanes,
		Needs: []string{"lock"},
		// etcd refuses a change of its members while another one is being made.
		OneAtATime: true,
		Done: func(ctx context.Context, s *workflow.Step) (bool, error) {
			if s.Cluster().ExternalEtcd() {
				return true, nil // the control planes have no members
			}
			if !slices.ContainsFunc(staying(s), hasCluster) || !mayBeMember(s) {
				return true, nil
			}
			return notOurs(ctx, s)
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			return removeMember(ctx, s, remedy)
		},
	}
}

// mayBeMember reports whether the etcd of the control planes may have a member of the host.
// One that has lost its data still counts for the majority.
func mayBeMember(s *workflow.Step) bool {
	f := s.Facts()
	return f.Exists(facts.EtcdMember) || f.Joining() || f.Exists(facts.APIServerManifest)
}

// staying are the control planes of the cluster that the run does not reset. Without one,
// the cluster ends. An absent one whose cluster is unknown counts: etcd does not stop, and
// members are removed, as long as it may need them.
func staying(s *workflow.Step) []*workflow.Host {
	return slices.DeleteFunc(slices.Clone(s.Hosts().ControlPlanes()), func(h *workflow.Host) bool {
		return s.Selected(h) || !h.Config.Stays() && s.Hosts().Departed(h) == cluster.AnotherCluster
	})
}

// ClusterStays reports whether the run leaves a cluster that other runs may change.
func ClusterStays(s *workflow.Step) bool { return len(staying(s)) > 0 }

// removeMember removes the member of a host. remedy says how to go on if it cannot be
// removed.
func removeMember(ctx context.Context, s *workflow.Step, remedy string) error {
	etcd, err := workflow.ReadEtcd(ctx, staying(s))
	if err != nil {
		return workflow.WithHint(fmt.Errorf("no control plane that stays has the cluster's data: %w", err),
			"start etcd on a control plane that stays"+remedy)
	}
	index := slices.IndexFunc(etcd.Members, s.Target.HasMember)
	if index < 0 {
		return nil
	}
	own := etcd.Members[index]
	// A learner does not count for the majority, and leaves it as it is.
	if after := afterRemoval(s, etcd, own); !own.Learner && !after.Holds() {
		return workflow.WithHint(&kube.QuorumError{Removing: s.Target.Config.Name, After: after},
			"start the other control planes, or remove the members that are gone"+remedy)
	}
	return etcd.Remove(ctx, s, s.Target.Config.Name, own.ID)
}

// afterRemoval is the arithmetic of etcd without a member, and without those of the other
// hosts that the run resets. The members of unreachable hosts stay.
func afterRemoval(s *workflow.Step, etcd *workflow.Etcd, own kube.EtcdMember) kube.Quorum {
	leaves := func(m kube.EtcdMember) bool {
		return m.ID == own.ID || slices.ContainsFunc(s.Hosts().ControlPlanes(), func(h *workflow.Host) bool {
			return s.Selected(h) && h.Unreachable() == nil && h.HasMember(m)
		})
	}
	after := etcd.Quorum()
	for _, m := range etcd.Members {
		if !m.Learner && leaves(m) {
			after.Members--
		}
	}
	return after
}

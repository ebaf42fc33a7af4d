package reset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// memberTimeout bounds a call of etcd.
const memberTimeout = 30 * time.Second

// Member removes the etcd member of a control plane from a cluster that stays.
func Member() workflow.Phase {
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
			if !slices.ContainsFunc(staying(s), hasCluster) || !s.Facts().Exists(facts.EtcdMember) && !s.Facts().Joining() {
				return true, nil
			}
			return notOurs(ctx, s)
		},
		Do: removeMember,
	}
}

// staying are the control planes that the run does not reset. Without one, the
// cluster ends.
func staying(s *workflow.Step) []*workflow.Host {
	return slices.DeleteFunc(slices.Clone(s.Hosts().ControlPlanes()), s.Selected)
}

// ClusterStays reports whether the run leaves a cluster that other runs may change.
func ClusterStays(s *workflow.Step) bool { return len(staying(s)) > 0 }

// QuorumError says that the etcd members that stay would not be a majority.
type QuorumError struct {
	// Live is how many of the members that stay answer; Members is how many stay.
	Live, Members int
}

func (e *QuorumError) Error() string {
	return fmt.Sprintf("without this host, %d of %d etcd members answer: no quorum", e.Live, e.Members)
}

func removeMember(ctx context.Context, s *workflow.Step) error {
	members, through, live, err := readMembers(ctx, s)
	if err != nil {
		return workflow.WithHint(err, "start etcd on a control plane that stays; or reset all hosts, without --hosts")
	}
	leaves := func(m kube.EtcdMember) bool {
		return slices.ContainsFunc(s.Hosts().ControlPlanes(), func(h *workflow.Host) bool {
			return h.Config.Name == m.Name && s.Selected(h)
		})
	}
	address, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	// A member has no name before it has started.
	own := slices.IndexFunc(members, func(m kube.EtcdMember) bool {
		return m.Name == s.Target.Config.Name || !m.Started() && slices.Contains(m.PeerURLs, kube.Peer(address))
	})
	if own < 0 {
		return nil
	}
	id := members[own].ID
	if rest := len(slices.DeleteFunc(members, leaves)); live <= rest/2 {
		return workflow.WithHint(&QuorumError{Live: live, Members: rest},
			"start the other control planes, or remove the members that are gone; or reset all hosts, without --hosts")
	}
	if !s.Planning() {
		ctx, cancel := context.WithTimeout(ctx, memberTimeout)
		defer cancel()
		if err := kube.RemoveEtcdMember(ctx, through.Conn, id); err != nil {
			return err
		}
	}
	s.Changed("remove etcd member %s", s.Target.Config.Name)
	return nil
}

// readMembers reads the members of etcd through the control planes that stay. It
// returns one that answers, and how many do.
func readMembers(ctx context.Context, s *workflow.Step) (members []kube.EtcdMember, through *workflow.Host, live int, err error) {
	var failed []error
	for _, h := range staying(s) {
		ctx, cancel := context.WithTimeout(ctx, memberTimeout)
		all, err := kube.EtcdMembers(ctx, h.Conn)
		cancel()
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", h.Config.Name, err))
			continue
		}
		members, through, live = all, h, live+1
	}
	if through == nil {
		return nil, nil, 0, fmt.Errorf("no control plane that stays has an etcd that answers: %w", errors.Join(failed...))
	}
	return members, through, live, nil
}

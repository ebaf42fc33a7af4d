package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/retry"
)

const (
	// memberTimeout bounds a call of etcd.
	memberTimeout = 30 * time.Second
	// A member that knows no leader is asked again for 5 s: the others need up to 2 s to
	// elect one when the leader leaves (election-timeout).
	leaderAttempts, leaderPause = 11, 500 * time.Millisecond
)

// Etcd is what the etcd of a cluster answered on some of its control planes.
type Etcd struct {
	// Members are those of the first host in Healthy, or else in Answered.
	Members []kube.EtcdMember
	// Answered are the hosts whose etcd answered. Healthy are those of them whose member
	// has a majority: a member that is cut off from the others answers too.
	Answered, Healthy []*Host
	// Leader is the name of the member that leads the others; empty if none that has a
	// majority has answered.
	Leader string
}

// etcdAnswer is what the etcd of one host answered.
type etcdAnswer struct {
	members []kube.EtcdMember
	healthy bool
	leader  uint64
	err     error
}

// ReadEtcd reads the members of etcd on each of the hosts. It fails only if none of
// them answers.
func ReadEtcd(ctx context.Context, hosts []*Host) (*Etcd, error) {
	answers := make([]etcdAnswer, len(hosts))
	var group errgroup.Group
	for i, h := range hosts {
		group.Go(func() error {
			answers[i] = askEtcd(ctx, h)
			return nil
		})
	}
	_ = group.Wait() // an error is part of the answer
	found := &Etcd{}
	var errs []error
	for i, h := range hosts {
		a := answers[i]
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", h.Config.Name, a.err))
			continue
		}
		if len(found.Answered) == 0 || a.healthy && len(found.Healthy) == 0 {
			found.Members = a.members
		}
		found.Answered = append(found.Answered, h)
		if a.healthy {
			found.Healthy = append(found.Healthy, h)
			for _, m := range a.members {
				if m.ID == a.leader {
					found.Leader = m.Name
				}
			}
		}
	}
	if len(found.Answered) == 0 {
		return nil, fmt.Errorf("no etcd answers: %w", errors.Join(errs...))
	}
	return found, nil
}

func askEtcd(ctx context.Context, h *Host) (a etcdAnswer) {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	etcd := kube.NewEtcdClient(h.Conn)
	if a.members, a.err = etcd.Members(ctx); a.err == nil {
		a.leader, a.healthy = hasMajority(ctx, etcd)
	}
	return a
}

// hasMajority reports whether a member serves the cluster, and the ID of its leader.
func hasMajority(ctx context.Context, etcd kube.EtcdClient) (leader uint64, healthy bool) {
	err := retry.Do(ctx, func(ctx context.Context) error {
		status, err := etcd.Status(ctx)
		leader = status.Leader
		switch {
		case err != nil:
			return retry.Stop(err)
		case status.Leader == 0:
			return status.Unhealthy
		}
		return retry.Stop(status.Unhealthy)
	}, retry.Options{Attempts: leaderAttempts, Pause: retry.Every(leaderPause)})
	return leader, err == nil
}

// Serving are the healthy hosts. Without a majority, none is healthy: then they are those
// that answered, so that it is known which ones are missing.
func (e *Etcd) Serving() []*Host {
	if len(e.Healthy) > 0 {
		return e.Healthy
	}
	return e.Answered
}

// Quorum is the arithmetic of the members that vote. Learners are not among those that
// answered: they do not list members.
func (e *Etcd) Quorum() kube.Quorum {
	return kube.Quorum{Members: kube.Voters(e.Members), Healthy: len(e.Serving())}
}

// HasMember reports whether a member of etcd is that of the host.
func (h *Host) HasMember(m kube.EtcdMember) bool {
	addresses := []string{h.Config.NodeIP, h.Config.Address}
	if ip, err := h.NodeIP(); err == nil {
		addresses = append(addresses, ip.String())
	}
	return kube.IsMemberOf(m, h.Config.Name, addresses...)
}

// HasMemberIn reports whether etcd has a member of the host, which may have never started.
// A nil state has none.
func (h *Host) HasMemberIn(state *cluster.State) bool {
	return state != nil && slices.ContainsFunc(state.Members, h.HasMember)
}

// Member returns the member of a host, or nil.
func (e *Etcd) Member(name string) *kube.EtcdMember {
	i := slices.IndexFunc(e.Members, func(m kube.EtcdMember) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &e.Members[i]
}

// Remove removes a member through the first host that can, and counts the change. name is
// the host of the member.
func (e *Etcd) Remove(ctx context.Context, s *Step, name string, id uint64) error {
	var errs []error
	for _, through := range e.Serving() {
		err := s.RemoveEtcdMember(ctx, through, name, id)
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", through.Config.Name, err))
	}
	return errors.Join(errs...)
}

// RemoveEtcdMember removes a member through a control plane whose etcd answers, and
// counts the change. name is the host of the member.
func (s *Step) RemoveEtcdMember(ctx context.Context, through *Host, name string, id uint64) error {
	if !s.run.Plan {
		ctx, cancel := context.WithTimeout(ctx, memberTimeout)
		defer cancel()
		if err := kube.RemoveEtcdMember(ctx, through.Conn, id); err != nil {
			return err
		}
	}
	s.Changed("remove etcd member %s", name)
	return nil
}

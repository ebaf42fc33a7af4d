package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// MemberError says which member of etcd keeps control planes from joining.
type MemberError struct {
	// Member is its name, or its ID before it has started.
	Member string
	// Problem is what is wrong with it: "has never started".
	Problem string
}

func (e *MemberError) Error() string {
	return fmt.Sprintf("etcd member %s %s: no control plane can join", e.Member, e.Problem)
}

// complete reports whether a member has joined: it has started and votes.
func complete(m kube.EtcdMemberHealth) bool { return m.Started() && m.Voting }

// settleEtcd waits until each member that has joined is healthy, and removes those of
// interrupted joins, and that of the host if its data is gone. It reports whether the
// host itself has a member that has joined.
//
// The member of an interrupted join is a learner, or has never started: it has never
// voted, and nothing is lost with its data. The join of its host starts over.
func settleEtcd(ctx context.Context, s *workflow.Step) (member bool, err error) {
	var health kube.EtcdHealth
	settled := kube.Condition{Name: "etcd members started, voting and healthy", Check: func(ctx context.Context, _ *kube.Client) (bool, string, error) {
		if health, err = readHealth(ctx, s); err != nil {
			return false, "", err
		}
		err := checkMembers(s, health)
		return err == nil, "", err
	}}
	if s.Planning() {
		_, _, err = settled.Check(ctx, nil)
	} else {
		err = s.WaitFor(ctx, settled, memberTimeout)
	}
	if err != nil {
		return false, err
	}
	for _, m := range health.Members {
		switch owner := ownerOf(s, m); {
		case owner == s.Target && complete(m):
			if member = kubeadm.HasData(s.Cluster(), s.Facts()); !member {
				err = removeEmptied(ctx, s, m, health)
			}
		case !complete(m):
			err = removeIncomplete(ctx, s, owner, m, health)
		}
		if err != nil {
			return false, err
		}
	}
	return member, nil
}

// readHealth reads the health of all members but that of the host that joins. A member that
// the inventory does not have is asked through a control plane: etcd adds none while one
// that has started does not answer, whoever has it.
func readHealth(ctx context.Context, s *workflow.Step) (kube.EtcdHealth, error) {
	health, err := kube.ReadEtcdHealth(ctx, others(s))
	if err != nil {
		return health, err
	}
	through, err := healthyMember(s, health)
	if err != nil {
		return health, nil // checkMembers says why no member is healthy
	}
	for i, m := range health.Members {
		if complete(m) && ownerOf(s, m) == nil {
			health.Members[i].Problem = kube.AskEtcdMember(ctx, through.Conn, m.EtcdMember)
		}
	}
	return health, nil
}

// removeEmptied removes the member of the host, which has lost its data: the host was
// reinstalled, for example. A member that starts without the data that it acknowledged
// panics, or takes part in elections as if it had never voted.
func removeEmptied(ctx context.Context, s *workflow.Step, m kube.EtcdMemberHealth, health kube.EtcdHealth) error {
	name := s.Target.Config.Name
	// The member itself was not asked: it is not healthy.
	if err := health.Quorum().CheckRemoval(name, 1, 0); err != nil {
		return workflow.WithHint(err, fmt.Sprintf(
			"%s has lost the data of its etcd member, which must be removed before it joins again: start the other control planes", name))
	}
	through, err := healthyMember(s, health)
	if err != nil {
		return err
	}
	return s.RemoveEtcdMember(ctx, through, name, m.ID)
}

// others are the connections to the control planes that may have a member, without the
// host that joins.
func others(s *workflow.Step) []host.Host {
	var all []host.Host
	for _, h := range s.Hosts().WithLeaving().ControlPlanes() {
		if h != s.Target && h.Unreachable() == nil {
			all = append(all, h.Conn)
		}
	}
	return all
}

// ownerOf returns the control plane that has a member; nil if the inventory has none.
func ownerOf(s *workflow.Step, m kube.EtcdMemberHealth) *workflow.Host {
	for _, h := range s.Hosts().WithLeaving().ControlPlanes() {
		if h.HasMember(m.EtcdMember) {
			return h
		}
	}
	return nil
}

// checkMembers returns an error if a member keeps the host from joining.
func checkMembers(s *workflow.Step, health kube.EtcdHealth) error {
	for _, m := range health.Members {
		owner := ownerOf(s, m)
		switch {
		case owner == s.Target && (complete(m) || interruptedMember(s, owner, m)):
			// Its health is that of the host that resumes.
		case !complete(m):
			if interruptedMember(s, owner, m) {
				continue
			}
			return incomplete(owner, m)
		case m.Problem != nil && owner == nil:
			return workflow.WithHint(&MemberError{m.Name, "is not healthy: " + m.Problem.Error()},
				"start its etcd; or "+workflow.UnlistedMember(m.EtcdMember).Remedy())
		case m.Problem != nil:
			name := owner.Config.Name
			return workflow.WithHint(&MemberError{m.Name, "is not healthy: " + m.Problem.Error()},
				fmt.Sprintf("start etcd on %[1]s: see `journalctl -u kubelet` and /var/log/pods/kube-system_etcd-%[1]s_* there; if the host is gone for good, set state: lost for it in the inventory", name))
		}
	}
	return nil
}

// interruptedMember reports whether a member that is not complete is the remainder of a
// join that this run starts over. A voting member that has never started is one only if
// its host has no data.
func interruptedMember(s *workflow.Step, owner *workflow.Host, m kube.EtcdMemberHealth) bool {
	if owner == nil || owner.Facts() == nil || !s.Selected(owner) {
		return false
	}
	return !owner.Facts().Exists(facts.EtcdMember) || owner.Facts().Joining() && !m.Voting
}

func incomplete(owner *workflow.Host, m kube.EtcdMemberHealth) error {
	problem, name := "is a learner, which does not vote", m.Name
	if !m.Started() {
		problem, name = "has never started", fmt.Sprintf("%x (%s)", m.ID, peers(m))
	}
	hint := fmt.Sprintf("start its host; or, if it is gone for good, remove the member: etcdctl member remove %x", m.ID)
	if owner != nil {
		hint = fmt.Sprintf("finish the join of %s first: rerun `slipway apply` without --hosts; or remove the member: etcdctl member remove %x", owner.Config.Name, m.ID)
	}
	return workflow.WithHint(&MemberError{name, problem}, hint)
}

func peers(m kube.EtcdMemberHealth) string {
	if len(m.PeerURLs) == 0 {
		return "without a peer URL"
	}
	return m.PeerURLs[0]
}

// removeIncomplete removes the member of an interrupted join, whose kubeadm may still run.
func removeIncomplete(ctx context.Context, s *workflow.Step, owner *workflow.Host, m kube.EtcdMemberHealth, health kube.EtcdHealth) error {
	if owner != s.Target {
		if err := stopJoin(ctx, s.On(owner)); err != nil {
			return err
		}
		// It may have ended since etcd was asked.
		var err error
		if health, err = kube.ReadEtcdHealth(ctx, others(s)); err != nil {
			return err
		}
		at := slices.IndexFunc(health.Members, func(now kube.EtcdMemberHealth) bool { return now.ID == m.ID })
		if at < 0 || complete(health.Members[at]) {
			return nil
		}
	}
	through, err := healthyMember(s, health)
	if err != nil {
		return err
	}
	return s.RemoveEtcdMember(ctx, through, owner.Config.Name, m.ID)
}

// healthyMember returns a control plane whose etcd can change the members.
func healthyMember(s *workflow.Step, health kube.EtcdHealth) (*workflow.Host, error) {
	for _, m := range health.Members {
		if m.Host == "" || m.Problem != nil || !complete(m) {
			continue
		}
		for _, h := range s.Hosts().WithLeaving().ControlPlanes() {
			if h.Conn.String() == m.Host {
				return h, nil
			}
		}
	}
	return nil, errors.New("no healthy member of etcd answers")
}

// memberHealthy: the member of the host has joined etcd.
func memberHealthy(s *workflow.Step) kube.Condition {
	name := s.Target.Config.Name
	return kube.Condition{Name: "etcd member " + name + " voting and healthy", Check: func(ctx context.Context, _ *kube.Client) (bool, string, error) {
		health, err := kube.ReadEtcdHealth(ctx, append(others(s), s.Target.Conn))
		if err != nil {
			return false, "", err
		}
		m := health.Member(name)
		switch {
		case m == nil:
			return false, "it has not started", nil
		case !m.Voting:
			return false, "it is a learner", nil
		case m.Problem != nil:
			return false, "", m.Problem
		}
		return true, "healthy", nil
	}}
}

// memberServes: the member of the host votes, and serves a read that needs a majority. The
// other members are not asked: their hosts are busy.
func memberServes(s *workflow.Step) kube.Condition {
	return kube.Condition{Name: "etcd member " + s.Target.Config.Name + " serving", Check: func(ctx context.Context, _ *kube.Client) (bool, string, error) {
		status, err := kube.ReadEtcdStatus(ctx, s.Target.Conn)
		switch {
		case err != nil:
			return false, "", err
		case status.Learner:
			return false, "it is a learner", nil
		}
		return status.Unhealthy == nil, "healthy", status.Unhealthy
	}}
}

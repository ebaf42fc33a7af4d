package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/host"
)

// etcdTimeout bounds what one member is asked. Without a quorum, etcd answers a read
// after 7 s (5 s and two elections).
const etcdTimeout = 5 * time.Second

// EtcdHealth is the state of all members of a cluster's etcd.
type EtcdHealth struct {
	Members []EtcdMemberHealth
	// Alarms are those of all members, each once.
	Alarms []string
	// Silent are the control planes, or the endpoints of external etcd, that did not answer.
	Silent []string
}

// EtcdMemberHealth is a member and its state.
type EtcdMemberHealth struct {
	EtcdMember
	// Host is the control plane that has the member; empty if none of those that
	// answer has it.
	Host string
	// Voting: it is not a learner. Leader: it leads the others.
	Voting, Leader bool
	// Committed and Applied are entries of the log, Term that of the election.
	Committed, Applied, Term uint64
	// Problem is why the member is not healthy; nil if it is, or if nothing is known of it.
	Problem error
	// NotAsked: nothing is known of the member. No client URL of external etcd is known to
	// be its own: one URL may be that of a load balancer in front of several members.
	NotAsked bool
}

// errNotAsked: nothing that answers has the member.
var errNotAsked = errors.New("no control plane that answers has it")

// etcdAnswer is what one control plane says of its member.
type etcdAnswer struct {
	host    string
	members []EtcdMember
	status  EtcdStatus
	err     error
}

// ReadEtcdHealth asks the etcd of each of the control planes for its members and its
// own status, all at once. Members of other hosts are unhealthy: nobody was asked. The
// error is why no control plane has answered.
func ReadEtcdHealth(ctx context.Context, controlPlanes []host.Host) (EtcdHealth, error) {
	var names []string
	var callers []etcdCaller
	for _, h := range controlPlanes {
		names, callers = append(names, h.String()), append(callers, localEtcd(h))
	}
	return readEtcdHealth(ctx, names, callers)
}

// readEtcdHealth asks members, by the names of their hosts, or by their client URLs.
func readEtcdHealth(ctx context.Context, names []string, callers []etcdCaller) (EtcdHealth, error) {
	answers := make([]etcdAnswer, len(callers))
	var group errgroup.Group
	for i, call := range callers {
		group.Go(func() error {
			answers[i] = askEtcd(ctx, names[i], call)
			return nil
		})
	}
	_ = group.Wait() // an error is part of the answer
	var members []EtcdMember
	var silent []string
	var errs []error
	for _, a := range answers {
		if members == nil {
			members = a.members
		}
		if a.err != nil {
			silent, errs = append(silent, a.host), append(errs, fmt.Errorf("%s: %w", a.host, a.err))
		}
	}
	if members == nil {
		return EtcdHealth{}, errors.Join(errs...)
	}
	health := etcdHealthOf(members, answers)
	health.Silent = silent
	return health, nil
}

func askEtcd(ctx context.Context, name string, call etcdCaller) etcdAnswer {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	a := etcdAnswer{host: name}
	if a.members, a.err = call.members(ctx); a.err != nil {
		return a
	}
	a.status, a.err = call.status(ctx)
	return a
}

// etcdHealthOf combines the members with what the control planes say of theirs.
func etcdHealthOf(members []EtcdMember, answers []etcdAnswer) EtcdHealth {
	leader, followed := leaderOf(answers)
	var health EtcdHealth
	for _, m := range members {
		member := EtcdMemberHealth{EtcdMember: m, Voting: !m.Learner, Leader: m.ID == followed}
		a := answerOf(m, answers)
		switch {
		case a == nil:
			member.Problem = errNotAsked
		case a.err != nil:
			member.Host, member.Problem = a.host, a.err
		default:
			member.Host = a.host
			member.take(a.status, leader)
			health.Alarms = append(health.Alarms, a.status.Alarms...)
		}
		health.Members = append(health.Members, member)
	}
	health.Alarms = sortedUnique(health.Alarms)
	return health
}

// take sets the state of a member from its status.
func (m *EtcdMemberHealth) take(s EtcdStatus, leader *EtcdStatus) {
	m.Voting = m.Voting && !s.Learner
	m.Committed, m.Applied, m.Term = s.Committed, s.Applied, s.Term
	switch {
	case s.Unhealthy != nil:
		m.Problem = s.Unhealthy
	case leader != nil:
		m.Problem = s.inSync(*leader)
	}
}

// leaderOf returns the member that is followed in the latest term (0: none is), and
// its status if it has answered. A member that was partitioned away may still follow
// the one of an earlier term.
func leaderOf(answers []etcdAnswer) (leader *EtcdStatus, followed uint64) {
	var term uint64
	for _, a := range answers {
		if a.err == nil && a.status.Leader != 0 && (followed == 0 || a.status.Term > term) {
			followed, term = a.status.Leader, a.status.Term
		}
	}
	for i, a := range answers {
		if a.err == nil && a.status.ID == followed && followed != 0 {
			leader = &answers[i].status
		}
	}
	return leader, followed
}

// answerOf returns the answer of the control plane that has the member. One whose
// etcd does not answer is known by the name of the member, which kubeadm gives it, or by
// its URL.
func answerOf(m EtcdMember, answers []etcdAnswer) *etcdAnswer {
	for i, a := range answers {
		if a.err == nil && a.status.ID == m.ID || a.err != nil && (a.host == m.Name || slices.Contains(m.ClientURLs, a.host)) {
			return &answers[i]
		}
	}
	return nil
}

// Member returns the member of that name, or nil.
func (h EtcdHealth) Member(name string) *EtcdMemberHealth {
	for i := range h.Members {
		if h.Members[i].Name == name {
			return &h.Members[i]
		}
	}
	return nil
}

// Quorum counts the voting members.
func (h EtcdHealth) Quorum() Quorum {
	var q Quorum
	for _, m := range h.Members {
		if !m.Voting {
			continue
		}
		q.Members++
		switch {
		case m.NotAsked:
			q.NotAsked++
		case m.Problem == nil:
			q.Healthy++
		}
	}
	return q
}

// Leader returns the name of the leader; empty if the members that answer know none.
func (h EtcdHealth) Leader() string {
	for _, m := range h.Members {
		if m.Leader {
			return m.Name
		}
	}
	return ""
}

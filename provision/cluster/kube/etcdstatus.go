package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host"
)

// EtcdStatus is what a member of etcd says of itself.
type EtcdStatus struct {
	ID uint64
	// Leader is the member that this one follows; 0 if it knows none.
	Leader uint64
	// Term is that of the election, Committed the last entry of the log that has a
	// majority, Applied the last one that the member has applied.
	Term, Committed, Applied uint64
	// Learner: it does not vote yet.
	Learner bool
	// Alarms are those of all members, such as "memberID:1 alarm:NOSPACE".
	Alarms []string
	// Unhealthy is why the member does not serve the cluster; nil if it does.
	Unhealthy error
}

// IsLeader reports whether the member leads the others.
func (s EtcdStatus) IsLeader() bool { return s.Leader != 0 && s.Leader == s.ID }

// errNoLeader is why a member that has lost the others does not serve the cluster.
var errNoLeader = errors.New("the member knows no leader")

// alarmPrefix begins an alarm among the errors of a member's status.
const alarmPrefix = "memberID:"

// ReadEtcdStatus asks the etcd of a control plane for its status, with the same
// connection as EtcdMembers, and for a read that needs a majority of the members, as
// `etcdctl endpoint health` does. An error is one of the status: without it, nothing
// is known of the member.
func ReadEtcdStatus(ctx context.Context, h host.Host) (EtcdStatus, error) {
	return NewEtcdClient(h).Status(ctx)
}

// Status is ReadEtcdStatus with this client.
func (c EtcdClient) Status(ctx context.Context) (EtcdStatus, error) { return c.call.status(ctx) }

func (call etcdCaller) status(ctx context.Context) (EtcdStatus, error) {
	var answer struct {
		Header struct {
			Member uint64 `json:"member_id,string"`
		} `json:"header"`
		Leader    uint64   `json:"leader,string"`
		Term      uint64   `json:"raftTerm,string"`
		Committed uint64   `json:"raftIndex,string"`
		Applied   uint64   `json:"raftAppliedIndex,string"`
		Learner   bool     `json:"isLearner"`
		Errors    []string `json:"errors"`
	}
	// The member answers by itself, without a majority.
	if err := call(ctx, "/v3/maintenance/status", struct{}{}, &answer); err != nil {
		return EtcdStatus{}, fmt.Errorf("etcd: status: %w", err)
	}
	s := EtcdStatus{
		ID: answer.Header.Member, Leader: answer.Leader, Term: answer.Term,
		Committed: answer.Committed, Applied: answer.Applied, Learner: answer.Learner,
	}
	for _, text := range answer.Errors {
		if strings.HasPrefix(text, alarmPrefix) {
			s.Alarms = append(s.Alarms, strings.TrimSpace(text))
		}
	}
	switch {
	case s.Leader == 0:
		s.Unhealthy = errNoLeader
	case !s.Learner: // a learner refuses reads
		s.Unhealthy = call.readThroughMajority(ctx)
	}
	return s, nil
}

// readThroughMajority reads a key, which need not exist: etcd answers only after it
// has confirmed with a majority that its data is current.
func (call etcdCaller) readThroughMajority(ctx context.Context) error {
	request := struct {
		Key []byte `json:"key"`
	}{[]byte("health")}
	if err := call(ctx, "/v3/kv/range", request, &struct{}{}); err != nil {
		return fmt.Errorf("read from etcd: %w", err)
	}
	return nil
}

// MaxEtcdLag is how many entries a member may be behind the leader. The members are
// not asked at the same moment; etcd itself refuses writes at a lag of 5000
// (maxGapBetweenApplyAndCommitIndex).
const MaxEtcdLag = 1000

// lag is how many entries the member has not applied of those that the leader has
// committed.
func (s EtcdStatus) lag(leader EtcdStatus) uint64 {
	if s.Applied >= leader.Committed {
		return 0
	}
	return leader.Committed - s.Applied
}

// inSync returns why a member is not in sync with its leader; nil if it is.
func (s EtcdStatus) inSync(leader EtcdStatus) error {
	switch {
	case s.Leader != leader.ID:
		return fmt.Errorf("follows member %x, and not the leader %x", s.Leader, leader.ID)
	case s.Term != leader.Term:
		return fmt.Errorf("is in term %d, and the leader in term %d", s.Term, leader.Term)
	case s.lag(leader) > MaxEtcdLag:
		return fmt.Errorf("is %d entries behind the leader", s.lag(leader))
	}
	return nil
}

// sortedUnique returns the distinct texts.
func sortedUnique(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

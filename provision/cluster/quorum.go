package cluster

import (
	"cmp"
	"fmt"
)

// Quorum is the arithmetic of etcd: a majority of its members must be healthy.
type Quorum struct {
	// Members are those of the member list, Healthy those of them that answer.
	Members, Healthy int
}

// Needed is how many members are a majority.
func (q Quorum) Needed() int { return q.Members/2 + 1 }

// Holds reports whether the healthy members are a majority.
func (q Quorum) Holds() bool { return q.Healthy >= q.Needed() }

// String is the arithmetic in words: "3 members, 2 healthy, 2 needed".
func (q Quorum) String() string {
	plural := "s"
	if q.Members == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d member%s, %d healthy, %d needed", q.Members, plural, q.Healthy, q.Needed())
}

// QuorumError says that members of etcd cannot be removed.
type QuorumError struct {
	// Removing names the hosts of the members.
	Removing string
	// Now is the arithmetic before the removal, zero if it is unknown, and After that
	// after it. One of them does not hold.
	Now, After Quorum
}

func (e *QuorumError) Error() string {
	now := "etcd"
	if e.Now != (Quorum{}) {
		now += " has " + e.Now.String()
		if !e.Now.Holds() {
			return fmt.Sprintf("%s: it has no quorum, and cannot remove %s", now, e.Removing)
		}
	}
	return fmt.Sprintf("%s: removing %s would leave %s", now, cmp.Or(e.Removing, "a member"), e.After)
}

// CheckRemoval returns a *QuorumError if etcd cannot remove members, or would lose its
// quorum. Of the members to remove, healthy ones answer; etcd removes one after the
// other, and each removal needs the quorum of all members that are left.
func (q Quorum) CheckRemoval(removing string, members, healthy int) error {
	after := Quorum{Members: q.Members - members, Healthy: q.Healthy - healthy}
	if q.Holds() && after.Holds() {
		return nil
	}
	return &QuorumError{Removing: removing, Now: q, After: after}
}

package kube

import (
	"cmp"
	"fmt"
)

// Quorum is the arithmetic of etcd: a majority of the members that vote must be healthy.
type Quorum struct {
	// Members vote, Healthy of them are healthy. Of NotAsked, nothing is known.
	Members  int `json:"members"`
	Healthy  int `json:"healthy"`
	NotAsked int `json:"notAsked,omitempty"`
}

// Needed is how many members are a majority.
func (q Quorum) Needed() int { return q.Members/2 + 1 }

// Holds reports whether the healthy members are a majority. Otherwise, etcd serves
// nothing any more. A member is healthy if a majority has confirmed a read of it: if some
// were not asked, one that is healthy is enough.
func (q Quorum) Holds() bool {
	return q.Healthy >= q.Needed() || q.Healthy > 0 && q.Healthy+q.NotAsked >= q.Needed()
}

// Tolerates returns how many more members may fail, for all that is known.
func (q Quorum) Tolerates() int { return max(q.Healthy-q.Needed(), 0) }

// String is the arithmetic in words: "3 members, 2 needed, 3 healthy".
func (q Quorum) String() string {
	text := fmt.Sprintf("%s, %d needed, %d healthy", count(q.Members, "member"), q.Needed(), q.Healthy)
	if q.NotAsked > 0 {
		text += fmt.Sprintf(", %d not asked", q.NotAsked)
	}
	return text
}

// Verdict is the arithmetic and what follows from it: "3 members, 2 needed, 3 healthy:
// tolerates 1 failure".
func (q Quorum) Verdict() string {
	switch {
	case !q.Holds():
		return q.String() + ": no quorum"
	case q.NotAsked > 0:
		return q.String() + ": a majority answers"
	case q.Tolerates() == 0:
		return q.String() + ": tolerates no failure"
	default:
		return q.String() + ": tolerates " + count(q.Tolerates(), "failure")
	}
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
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

// Package lock keeps two installers from working on the same hosts.
package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
)

const (
	// Expiry is the age by the host's clock at which a lock that is not renewed is
	// free.
	Expiry = 60 * time.Second
	// poll is the interval at which a lock of another installer is tried again.
	poll = time.Second
)

// HeldError: another installer holds the lock.
type HeldError struct {
	Host string
	// Holder is its user, Run its command, Since when it took the lock (RFC 3339).
	Holder, Run, Since string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s: locked by %s (%s) since %s", e.Host, e.Holder, e.Run, e.Since)
}

// Request is for whom to take locks, and how.
type Request struct {
	// Holder is the user of this installer, and Run its command.
	Holder, Run string
	// Timeout is how long to wait for other installers; 0 does not wait.
	Timeout time.Duration
	// Waiting receives a *HeldError when the wait for a lock begins.
	Waiting func(error)
	// Lost receives a *HeldError if another installer takes over a lock, because
	// localhost slept until the lock expired.
	Lost func(error)
}

// Locks are the locks of hosts that this installer holds.
type Locks struct{ held []*hostLock }

// Take takes the locks of all hosts, or of none, and renews them until Release. If
// another installer holds a lock and does not release it in time, the error is a
// *HeldError. The lock of an installer that is known to have ended is taken over.
func Take(ctx context.Context, hosts []host.Host, r Request) (*Locks, error) {
	// Nobody waits for a lock while holding one that comes later in this order.
	// Otherwise two installers could wait for each other.
	hosts = slices.SortedFunc(slices.Values(hosts), func(a, b host.Host) int { return strings.Compare(a.String(), b.String()) })
	locks := &Locks{}
	deadline := time.Now().Add(r.Timeout)
	err := retry.Do(ctx, func(ctx context.Context) error {
		err := locks.takeRest(ctx, hosts, r)
		var other *HeldError
		switch {
		case !errors.As(err, &other):
			return retry.Stop(err)
		case time.Now().Before(deadline):
			return err
		case r.Timeout > 0:
			err = fmt.Errorf("timed out waiting for the lock after %s: %w", r.Timeout, err)
		}
		return retry.Stop(err)
	}, retry.Options{Pause: retry.Every(poll), Progress: r.Waiting})
	if err != nil {
		_ = locks.Release(ctx) // a lock that is not released expires
		return nil, err
	}
	return locks, nil
}

// takeRest takes the locks that are missing, in the order of hosts. The first of
// them is tried alone: while it is held, the others stay free.
func (l *Locks) takeRest(ctx context.Context, hosts []host.Host, r Request) error {
	if len(l.held) == len(hosts) {
		return nil
	}
	next, err := take(ctx, hosts[len(l.held)], r)
	if err != nil {
		return err
	}
	l.held = append(l.held, next)

	hosts = hosts[len(l.held):]
	taken, errs := make([]*hostLock, len(hosts)), make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { taken[i], errs[i] = take(ctx, h, r) })
	}
	all.Wait()
	refused := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if refused < 0 {
		l.held = append(l.held, taken...)
		return nil
	}
	l.held = append(l.held, taken[:refused]...)
	later := slices.DeleteFunc(taken[refused:], func(l *hostLock) bool { return l == nil })
	_ = (&Locks{held: later}).Release(ctx) // a lock that is not released expires
	return errs[refused]
}

// Release releases the locks, also after ctx has ended. It returns the error of
// each host on which that failed.
func (l *Locks) Release(ctx context.Context) error {
	errs := make([]error, len(l.held))
	var all sync.WaitGroup
	for i, h := range l.held {
		all.Go(func() { errs[i] = h.release(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

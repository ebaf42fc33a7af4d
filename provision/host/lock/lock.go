// Package lock keeps two installers from working on the same hosts, or on the same
// cluster.
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
	// Place is the host, or the object in the cluster.
	Place string
	// Holder is its user, Run its command, Since when it took the lock (RFC 3339).
	Holder, Run, Since string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s: locked by %s (%s) since %s", e.Place, e.Holder, e.Run, e.Since)
}

// Request is for whom to take locks, and how.
type Request struct {
	// Holder is the user of this installer, and Run its command.
	Holder, Run string
	// Cluster is taken after the locks of the hosts; nil for these alone.
	Cluster ClusterLock
	// Timeout is how long to wait for other installers; 0 does not wait.
	Timeout time.Duration
	// Waiting receives a *HeldError when the wait for a lock begins.
	Waiting func(error)
	// Lost receives a *HeldError if another installer takes over a lock, because
	// localhost slept until the lock expired.
	Lost func(error)
	// Silent receives why Cluster could not be taken or refused. The locks of the
	// hosts are enough then.
	Silent func(error)
}

// ClusterLock is the lock of a cluster, whose API may not answer.
type ClusterLock interface {
	// Take takes the lock without waiting, and renews it until Release. If another
	// installer holds it, the error is a *HeldError.
	Take(context.Context, Request) error
	// Observe notices whether its holder renews it. A lock that nobody renews
	// expires this way even while Take is not called.
	Observe(context.Context)
	// Release releases the lock if it may be held, also after ctx has ended. A lock
	// that is not released expires.
	Release(context.Context)
}

// Locks are the locks of hosts that this installer holds, and that of the cluster.
type Locks struct {
	held    []*hostLock
	cluster ClusterLock
	// silent is why the lock of the cluster could not be taken or refused.
	silent error
}

// Take takes the locks of all hosts and of the cluster, or none, and renews them
// until Release. If another installer holds a lock and does not release it in time,
// the error is a *HeldError. The lock of an installer that is known to have ended
// is taken over.
func Take(ctx context.Context, hosts []host.Host, r Request) (*Locks, error) {
	// Nobody waits for a lock while holding one that comes later in this order.
	// Otherwise two installers could wait for each other. The cluster comes last.
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
			if r.Cluster != nil && locks.silent == nil && len(locks.held) < len(hosts) {
				r.Cluster.Observe(ctx)
			}
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
	if locks.silent != nil {
		r.Silent(locks.silent)
	}
	return locks, nil
}

// takeRest takes the locks that are missing, in the order of hosts. The first of
// them is tried alone: while it is held, the others stay free.
func (l *Locks) takeRest(ctx context.Context, hosts []host.Host, r Request) error {
	if len(l.held) < len(hosts) {
		next, err := take(ctx, hosts[len(l.held)], r)
		if err != nil {
			return err
		}
		l.held = append(l.held, next)
	}
	hosts = hosts[len(l.held):]
	taken, errs := make([]*hostLock, len(hosts)), make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { taken[i], errs[i] = take(ctx, h, r) })
	}
	refusal := l.takeCluster(ctx, r)
	all.Wait()
	refused := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if refused < 0 {
		l.held = append(l.held, taken...)
		return refusal
	}
	l.held = append(l.held, taken[:refused]...)
	later := &Locks{cluster: l.cluster, held: slices.DeleteFunc(taken[refused:], func(l *hostLock) bool { return l == nil })}
	_ = later.Release(ctx) // a lock that is not released expires
	return errs[refused]
}

// takeCluster takes the lock of the cluster. Its API may not answer, as before init.
func (l *Locks) takeCluster(ctx context.Context, r Request) error {
	if r.Cluster == nil || l.silent != nil {
		return nil
	}
	l.cluster = r.Cluster // an error does not say that it is not taken
	err := r.Cluster.Take(ctx, r)
	var other *HeldError
	switch {
	case err == nil, errors.As(err, &other):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	l.silent = err
	return nil
}

// Release releases the locks, also after ctx has ended. It returns the error of
// each host on which that failed.
func (l *Locks) Release(ctx context.Context) error {
	errs := make([]error, len(l.held))
	var all sync.WaitGroup
	for i, h := range l.held {
		all.Go(func() { errs[i] = h.release(ctx) })
	}
	if l.cluster != nil {
		l.cluster.Release(ctx)
	}
	all.Wait()
	return errors.Join(errs...)
}

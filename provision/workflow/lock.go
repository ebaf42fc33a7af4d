package workflow

import (
	"context"
	"errors"
	"fmt"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
)

// Lock takes the locks of the selected hosts, except for unreachable ones, until
// the run ends. It takes all of them or none, and waits for other installers for
// Run.LockTimeout. A plan takes none.
func (s *Step) Lock(ctx context.Context) error {
	r := s.run
	if r.Plan || r.locks != nil {
		return nil
	}
	var hosts []host.Host
	for _, h := range r.Hosts.All {
		if r.Selection.includes(h) && h.Unreachable() == nil {
			hosts = append(hosts, h.Conn)
		}
	}
	locks, err := lock.Take(ctx, hosts, lock.Request{
		Holder: r.Holder, Run: r.name, Timeout: r.LockTimeout,
		Waiting: func(err error) { s.Waiting(fmt.Sprintf("%v; waiting up to %s", err, r.LockTimeout)) },
		Lost:    func(err error) { r.stop(hintLock(err)) },
	})
	if err != nil {
		return hintLock(err)
	}
	r.locks = locks
	return nil
}

func hintLock(err error) error {
	if other := (*lock.HeldError)(nil); !errors.As(err, &other) {
		return err
	}
	return WithHint(err, fmt.Sprintf(
		"rerun after it has ended, or wait longer with --lock-timeout; the lock of an installer that died expires after %s", lock.Expiry))
}

// unlock releases every lock of the run.
func (r *Run) unlock(ctx context.Context) error {
	if r.locks == nil {
		return nil
	}
	defer func() { r.locks = nil }()
	return r.locks.Release(ctx)
}

package workflow

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"slipway.io/slipway/provision/host/lock"
)

// lock takes the host's lock, if the run does not hold it, until unlock. A plan
// takes none.
func (r *Run) lock(ctx context.Context, h *Host) error {
	if r.Plan {
		return nil
	}
	r.mu.Lock()
	_, have := r.locks[h]
	r.mu.Unlock()
	if have {
		return nil
	}
	taken, err := lock.Take(ctx, h.Conn, r.Holder, r.name, func(err error) { r.stop(hintLock(err)) })
	if err != nil {
		return hintLock(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.locks == nil {
		r.locks = map[*Host]*lock.Lock{}
	}
	r.locks[h] = taken
	return nil
}

func hintLock(err error) error {
	if other := (*lock.HeldError)(nil); !errors.As(err, &other) {
		return err
	}
	return WithHint(err, fmt.Sprintf("wait for it to end; the lock of an installer that died expires after %s", lock.Expiry))
}

// unlock releases every lock of the run.
func (r *Run) unlock(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make(chan error, len(r.locks))
	for _, l := range r.locks {
		all.Go(func() { errs <- l.Release(ctx) })
	}
	all.Wait()
	close(errs)
	var failures []error
	for err := range errs {
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

package container

import (
	"context"
	"errors"
	"time"

	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/retry"
)

// lockShared waits for a lock that all labs share.
func (s *session) lockShared(ctx context.Context, path, condition string) (lock *localhost.Lock, err error) {
	err = retry.Until(ctx, condition, func(context.Context) error {
		lock, err = localhost.Acquire(path)
		if errors.Is(err, localhost.ErrLocked) {
			return err
		}
		return retry.Stop(err)
	}, retry.Options{
		Timeout:  30 * time.Minute,
		Progress: func(err error) { s.Say("", "waits for %s: %v", condition, err) },
	})
	return lock, err
}

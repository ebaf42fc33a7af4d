package container

import (
	"context"
	"errors"
	"time"

	"slipway.io/slipway/provision/localhost"
)

// awaitLock waits for what another lab does for both, and says so.
func (s *session) awaitLock(ctx context.Context, path, condition string) (*localhost.Lock, error) {
	var held *localhost.Lock
	var told bool
	err := localhost.Await(ctx, condition, 30*time.Minute, func(context.Context) (bool, string, error) {
		var err error
		if held, err = localhost.Acquire(path); errors.Is(err, localhost.ErrLocked) {
			if !told {
				s.Say("", "waits until %s: %v", condition, err)
				told = true
			}
			return false, err.Error(), nil
		}
		return err == nil, "", err
	})
	return held, err
}

package localhost

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollInterval is how often a condition is looked at.
const pollInterval = 100 * time.Millisecond

// Probe looks at a condition once. What it saw is told if the condition does
// not come about. An error ends the wait.
type Probe func(ctx context.Context) (done bool, seen string, err error)

// Await waits for a named condition.
func Await(ctx context.Context, condition string, timeout time.Duration, look Probe) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := "nothing yet"
	for {
		done, seen, err := look(ctx)
		if err != nil {
			return fmt.Errorf("wait until %s: %w", condition, err)
		}
		if done {
			return nil
		}
		// A look that the end of the context cut short saw nothing.
		if ctx.Err() == nil {
			last = seen
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("wait until %s: not within %s, last: %s", condition, timeout, last)
			}
			return fmt.Errorf("wait until %s: %w, last: %s", condition, context.Cause(ctx), last)
		}
	}
}

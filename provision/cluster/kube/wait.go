package kube

import (
	"context"
	"fmt"
	"time"
)

const (
	defaultWait = 5 * time.Minute
	// checkTimeout bounds one look at a condition, so that one lost request
	// does not use up the whole wait.
	checkTimeout = 10 * time.Second
)

// Condition is something in the cluster that can be waited for.
type Condition struct {
	// Name says it in words: "node cp-1 ready".
	Name string
	// Check looks once. The observation says what was seen, in words, and is
	// shown while waiting; an error is an observation too, and is tried again.
	Check func(ctx context.Context, c *Client) (done bool, observation string, err error)
}

// WaitOptions tune a WaitFor.
type WaitOptions struct {
	// Timeout, default 5 minutes. The context may end the wait earlier.
	Timeout time.Duration
	// Interval between two looks, default 200 ms. It is longer, up to 5 s, where
	// a look takes more than a fourth of it.
	Interval time.Duration
	// Progress is called with each observation that differs from the last.
	Progress func(observation string)
}

// WaitError: a condition did not come true in time.
type WaitError struct {
	// Condition is its name.
	Condition string
	// Last is what was seen last.
	Last string
	// After is how long was waited.
	After time.Duration
	// Err is the context's error.
	Err error
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("wait for %s: %s (after %s: %v)", e.Condition, e.Last, e.After.Round(100*time.Millisecond), e.Err)
}

// Unwrap gives context.DeadlineExceeded or context.Canceled.
func (e *WaitError) Unwrap() error { return e.Err }

// WaitFor looks at a condition until it holds. If it does not in time, the
// error is a *WaitError with the last observation.
func (c *Client) WaitFor(ctx context.Context, condition Condition, options ...WaitOptions) error {
	o := waitOptions(options)
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	last := "nothing observed yet"
	for {
		asked := time.Now()
		done, seen := c.look(ctx, condition)
		if done {
			return nil
		}
		// What a look cut short by the end has to say hides what was seen.
		if ctx.Err() == nil && seen != last {
			last = seen
			o.Progress(last)
		}
		if !pause(ctx, between(o.Interval, time.Since(asked))) {
			return &WaitError{Condition: condition.Name, Last: last, After: time.Since(start), Err: ctx.Err()}
		}
	}
}

// between is the pause after a look: a server that is slow to answer is asked
// less often, so that the looks do not keep it from what they wait for.
func between(interval, took time.Duration) time.Duration {
	return max(interval, min(4*took, maxInterval))
}

func (c *Client) look(ctx context.Context, condition Condition) (done bool, seen string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	done, seen, err := condition.Check(ctx, c)
	if err != nil {
		return false, err.Error()
	}
	return done, seen
}

func waitOptions(options []WaitOptions) WaitOptions {
	o := WaitOptions{Timeout: defaultWait, Interval: pollInterval, Progress: func(string) {}}
	for _, given := range options {
		if given.Timeout > 0 {
			o.Timeout = given.Timeout
		}
		if given.Interval > 0 {
			o.Interval = given.Interval
		}
		if given.Progress != nil {
			o.Progress = given.Progress
		}
	}
	return o
}

package kube

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	defaultWait = 5 * time.Minute
	// checkTimeout bounds one check of a condition, so that a lost request does
	// not use up the whole wait.
	checkTimeout = 10 * time.Second
)

// Condition is a state of the cluster that can be waited for.
type Condition struct {
	// Name describes it: "node cp-1 ready".
	Name string
	// Check reports once whether it holds. The observation describes what was
	// seen, and is shown while waiting; so is an error, after which the check is
	// repeated.
	Check func(ctx context.Context, c *Client) (done bool, observation string, err error)
}

// WaitOptions tune a WaitFor.
type WaitOptions struct {
	// Timeout, default 5 minutes. The context may end the wait earlier.
	Timeout time.Duration
	// Interval between two checks, default 200 ms. It is longer, up to 5 s, where
	// a check takes more than a fourth of it.
	Interval time.Duration
	// Progress is called with each observation that differs from the last.
	Progress func(observation string)
}

// WaitError: a condition did not hold in time.
type WaitError struct {
	// Condition is its name.
	Condition string
	// Last is the last observation.
	Last string
	// After is how long the wait lasted.
	After time.Duration
	// Err is the context's error.
	Err error
}

func (e *WaitError) Error() string {
	how := "timed out"
	if errors.Is(e.Err, context.Canceled) {
		how = "stopped"
	}
	return fmt.Sprintf("%s waiting for %s after %s: %s", how, e.Condition, e.After.Round(100*time.Millisecond), e.Last)
}

// Unwrap returns context.DeadlineExceeded or context.Canceled.
func (e *WaitError) Unwrap() error { return e.Err }

// WaitFor checks a condition until it holds. If it does not in time, the error
// is a *WaitError with the last observation.
func (c *Client) WaitFor(ctx context.Context, condition Condition, options ...WaitOptions) error {
	o := waitOptions(options)
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	last := "nothing observed yet"
	for {
		asked := time.Now()
		done, seen := c.check(ctx, condition)
		if done {
			return nil
		}
		// A check that the deadline cut short observed nothing.
		if ctx.Err() == nil && seen != last {
			last = seen
			o.Progress(last)
		}
		if !pause(ctx, between(o.Interval, time.Since(asked))) {
			return &WaitError{Condition: condition.Name, Last: last, After: time.Since(start), Err: ctx.Err()}
		}
	}
}

// await waits for an effect of the client's own requests. A dry run has none.
func (c *Client) await(ctx context.Context, condition Condition, options ...WaitOptions) error {
	if c.dryRun {
		return nil
	}
	return c.WaitFor(ctx, condition, options...)
}

// between is the pause after a check: a slow server is asked less often, so that
// the checks do not delay what they wait for.
func between(interval, took time.Duration) time.Duration {
	return max(interval, min(4*took, maxInterval))
}

func (c *Client) check(ctx context.Context, condition Condition) (done bool, seen string) {
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

package kube

import (
	"context"
	"errors"
	"time"

	"slipway.io/slipway/provision/retry"
)

const (
	defaultWait = 5 * time.Minute
	// checkTimeout bounds one check of a condition.
	checkTimeout = 10 * time.Second
	pollInterval = 200 * time.Millisecond
	// maxInterval is between two checks of a server that hardly answers.
	maxInterval = 5 * time.Second
)

// Condition is something in the cluster that can be waited for.
type Condition struct {
	// Name says it in words: "node cp-1 ready".
	Name string
	// Check checks once. The observation describes the state, in words, and is
	// shown while waiting; an error is an observation too, and is retried.
	Check func(ctx context.Context, c *Client) (done bool, observation string, err error)
}

// WaitOptions tune a WaitFor.
type WaitOptions struct {
	// Timeout, default 5 minutes. The context may end the wait earlier.
	Timeout time.Duration
	// Interval between two checks, default 200 ms; up to 5 s if a check takes more
	// than a quarter of it.
	Interval time.Duration
	// Progress is called with each observation that differs from the last.
	Progress func(observation string)
}

// WaitError reports a condition that did not hold in time.
type WaitError = retry.WaitError

// WaitFor checks a condition until it holds. If it does not in time, the error is
// a *WaitError with the last observation.
func (c *Client) WaitFor(ctx context.Context, condition Condition, options ...WaitOptions) error {
	o := waitOptions(options)
	return retry.Until(ctx, condition.Name, func(ctx context.Context) error {
		done, observation, err := condition.Check(ctx, c)
		if err == nil && !done {
			return errors.New(observation)
		}
		return err
	}, retry.Options{
		Timeout: o.Timeout, AttemptTimeout: checkTimeout, Pause: retry.Sparing(o.Interval, maxInterval),
		Progress: func(err error) { o.Progress(err.Error()) },
	})
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

package validate

import (
	"context"
	"errors"
	"time"

	"slipway.io/slipway/provision/retry"
)

const (
	// podRetryTime is how long a probe in a test pod is retried:
	// EndpointSlices, DNS and the rules of kube-proxy follow new pods within
	// seconds.
	podRetryTime = 30 * time.Second
	// apiRetryTime is the same for probes of the API: right after an
	// installation, CoreDNS may have to wait for the CNI.
	apiRetryTime = 60 * time.Second
	// attemptTimeout bounds one attempt, which may be several requests; agnhost
	// allows 5 s for each.
	attemptTimeout = 12 * time.Second
	retryInterval  = 250 * time.Millisecond
)

// task is a probe of one target.
type task struct {
	target string
	// timeout is set for a task that waits for conditions itself: it runs once.
	// 0: attempts are short, and retried.
	timeout time.Duration
	// try is one attempt. A retried task ends when its error is nil or marked by
	// retry.Stop, or when the time is up.
	try func(ctx context.Context) (evidence string, err error)
}

// skipError says why a probe cannot run.
type skipError struct{ reason string }

func (e skipError) Error() string { return e.reason }

// skip is the error of an attempt that cannot run, and is not retried.
func skip(reason string) error { return retry.Stop(skipError{reason}) }

// degradedError says what redundancy the cluster has lost.
type degradedError struct{ reason string }

func (e degradedError) Error() string { return e.reason }

// degraded is the error of an attempt that finds a loss of redundancy, and is not
// retried.
func degraded(reason string) error { return retry.Stop(degradedError{reason}) }

// skipped is the only task of a kind of probe that cannot run.
func skipped(reason string) []task {
	return []task{{try: func(context.Context) (string, error) { return "", skip(reason) }}}
}

// failed is the only task of a kind of probe that has failed already.
func failed(reason string) []task {
	return []task{{try: func(context.Context) (string, error) { return "", retry.Stop(errors.New(reason)) }}}
}

// runTask runs a task once if it has a timeout, and else retries it.
func (r *run) runTask(ctx context.Context, t task, retryTime time.Duration) (evidence string, err error) {
	if t.timeout == 0 {
		return r.retry(ctx, retryTime, t.try)
	}
	ctx, cancel := context.WithTimeout(ctx, r.scale.extend(t.timeout))
	defer cancel()
	return t.try(ctx)
}

// retry repeats attempts until one ends them, or the time is up.
func (r *run) retry(ctx context.Context, within time.Duration, try func(context.Context) (string, error)) (evidence string, err error) {
	err = retry.Do(ctx, func(ctx context.Context) error {
		evidence, err = try(ctx)
		return err
	}, retry.Options{
		Timeout: r.scale.extend(within), AttemptTimeout: r.scale.extend(attemptTimeout), Pause: retry.Every(retryInterval),
	})
	return evidence, err
}

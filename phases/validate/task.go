package validate

import (
	"context"
	"errors"
	"time"
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
	// try is one attempt. A retried task ends when it returns no error, a
	// permanentError or a skipError, or when the time is up.
	try func(ctx context.Context) (evidence string, err error)
}

// permanentError ends the retries of a task.
type permanentError struct{ reason string }

func (e permanentError) Error() string { return e.reason }

// skipError says why a probe cannot run.
type skipError struct{ reason string }

func (e skipError) Error() string { return e.reason }

// skipped is the only task of a kind of probe that cannot run.
func skipped(reason string) []task {
	return []task{{try: func(context.Context) (string, error) { return "", skipError{reason} }}}
}

// failed is the only task of a kind of probe that has failed already.
func failed(reason string) []task {
	return []task{{try: func(context.Context) (string, error) { return "", permanentError{reason} }}}
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

// retry repeats attempts until one succeeds, none can any more, or the time is
// up. Its error is then that of the last attempt which was not cut short.
func (r *run) retry(ctx context.Context, within time.Duration, try func(context.Context) (string, error)) (evidence string, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.scale.extend(within))
	defer cancel()
	last := errors.New("the validation ended before the probe could run")
	for ctx.Err() == nil {
		evidence, err = r.attempt(ctx, try)
		var permanent permanentError
		var skip skipError
		if err == nil || errors.As(err, &permanent) || errors.As(err, &skip) {
			return evidence, err
		}
		if ctx.Err() == nil {
			last = err
		}
		pause(ctx, retryInterval)
	}
	return "", last
}

func (r *run) attempt(ctx context.Context, try func(context.Context) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.scale.extend(attemptTimeout))
	defer cancel()
	return try(ctx)
}

// pause waits, and returns false if the context ended first.
func pause(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

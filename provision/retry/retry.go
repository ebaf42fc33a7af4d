// Package retry repeats operations that fail for a while, and waits for
// conditions.
package retry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options of Do and Until. The zero value repeats every 100 ms until the
// context ends.
type Options struct {
	// Timeout of all attempts together.
	Timeout time.Duration
	// Attempts is the largest number of attempts.
	Attempts int
	// AttemptTimeout bounds each attempt, so that one request that gets no
	// answer does not use up all the time.
	AttemptTimeout time.Duration
	// Pause between two attempts.
	Pause Pause
	// Progress receives the error of an attempt if it reads differently from the
	// one before.
	Progress func(err error)
}

// stopError ends the attempts.
type stopError struct{ err error }

func (e stopError) Error() string { return e.err.Error() }
func (e stopError) Unwrap() error { return e.err }

// Stop marks an error that another attempt would not change: Do and Until
// return it at once, without the mark. The error of an attempt that the end of the
// time or of the context cut short is no such error, marked or not. Stop(nil) is nil.
func Stop(err error) error {
	if err == nil {
		return nil
	}
	return stopError{err}
}

// interruptedError is the last error of attempts that the context ended.
type interruptedError struct{ last, cause error }

func (e *interruptedError) Error() string   { return fmt.Sprintf("%v (%v)", e.last, e.cause) }
func (e *interruptedError) Unwrap() []error { return []error{e.last, e.cause} }

// Do calls attempt until it returns nil or an error marked by Stop, until no
// attempts or no time is left, or until the context ends. It returns the last
// error; if the context ended, one that also wraps the cause of that. An attempt
// that is cut short counts only if there was none before it.
func Do(ctx context.Context, attempt func(context.Context) error, o Options) error {
	bounded, cancel := bound(ctx, o.Timeout)
	defer cancel()
	last, cut := repeat(bounded, attempt, o)
	switch {
	case cut == nil:
		return last
	case last == nil:
		last = cut
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(last, cause) {
		return &interruptedError{last, cause}
	}
	return last
}

// repeat returns the last error of an attempt. If the context ended the attempts,
// cut is the error of the attempt or pause that it cut short.
func repeat(ctx context.Context, attempt func(context.Context) error, o Options) (last, cut error) {
	if o.Pause == nil {
		o.Pause = Every(defaultPause)
	}
	for n := 1; ; n++ {
		started := time.Now()
		err := once(ctx, attempt, o.AttemptTimeout)
		var stop stopError
		switch {
		case err == nil:
			return nil, nil
		case errors.As(err, &stop):
			if err = stop.err; ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				return err, nil
			}
			return last, err
		case ctx.Err() != nil || expired(ctx):
			<-ctx.Done() // at once
			return last, err
		}
		if o.Progress != nil && (last == nil || last.Error() != err.Error()) {
			o.Progress(err)
		}
		last = err
		if n == o.Attempts {
			return last, nil
		}
		if err := Sleep(ctx, o.Pause(n, time.Since(started))); err != nil {
			return last, err
		}
	}
}

// expired reports whether the deadline has passed. The context learns of it a little later;
// client-go's rate limiter already refuses requests.
func expired(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return bounded && !time.Now().Before(deadline)
}

func once(ctx context.Context, attempt func(context.Context) error, timeout time.Duration) error {
	ctx, cancel := bound(ctx, timeout)
	defer cancel()
	return attempt(ctx)
}

func bound(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// WaitError reports a condition that did not hold in time.
type WaitError struct {
	Condition string
	// Last is the last observation.
	Last string
	// After is how long Until waited.
	After time.Duration
	// Err is context.DeadlineExceeded or context.Canceled.
	Err error
}

func (e *WaitError) Error() string {
	end := "timed out"
	if errors.Is(e.Err, context.Canceled) {
		end = "stopped"
	}
	return fmt.Sprintf("%s waiting for %s after %s: %s", end, e.Condition, e.After.Round(100*time.Millisecond), e.Last)
}

// Unwrap returns the error of the context.
func (e *WaitError) Unwrap() error { return e.Err }

// Until waits for a condition, whose name follows "waiting for" in errors:
// "node cp1 ready". check returns nil once it holds; its error is the
// observation until then. If the time or the context ends first, the error is a
// *WaitError; an error marked by Stop ends the wait and is returned as it is.
func Until(ctx context.Context, condition string, check func(context.Context) error, o Options) error {
	started := time.Now()
	ctx, cancel := bound(ctx, o.Timeout)
	defer cancel()
	last, cut := repeat(ctx, check, o)
	if cut == nil {
		return last
	}
	e := &WaitError{Condition: condition, Last: "nothing observed yet", After: time.Since(started), Err: ctx.Err()}
	if last != nil {
		e.Last = last.Error()
	}
	return e
}

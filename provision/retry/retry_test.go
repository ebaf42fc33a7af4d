package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errBusy = errors.New("busy")

func TestDo(t *testing.T) {
	t.Parallel()
	final := errors.New("wrong password")
	for _, tc := range []struct {
		name    string
		attempt func(n int) error
		options Options
		want    error
		calls   int
		took    time.Duration
	}{
		{"a success is not repeated", func(int) error { return nil }, Options{}, nil, 1, 0},
		{"a failure is repeated until it succeeds", busyFor(3), Options{}, nil, 4, 300 * time.Millisecond},
		{"an error marked by Stop ends it", func(int) error { return Stop(final) }, Options{}, final, 1, 0},
		{"attempts are counted", busyFor(9), Options{Attempts: 4, Pause: Doubling(time.Second, time.Minute)}, errBusy, 4, 7 * time.Second},
		{"the time ends it with the last error", busyFor(99), Options{Timeout: time.Second, Pause: Every(400 * time.Millisecond)}, errBusy, 3, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				started, calls := time.Now(), 0
				err := Do(t.Context(), func(context.Context) error {
					calls++
					return tc.attempt(calls)
				}, tc.options)
				if !errors.Is(err, tc.want) || calls != tc.calls {
					t.Errorf("%v after %d calls, want %v after %d", err, calls, tc.want, tc.calls)
				}
				if took := time.Since(started); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
			})
		})
	}
}

func busyFor(attempts int) func(int) error {
	return func(n int) error {
		if n <= attempts {
			return errBusy
		}
		return nil
	}
}

func TestAnAttemptThatIsCutShortDoesNotHideTheErrorBefore(t *testing.T) {
	t.Parallel()
	for name, mark := range map[string]func(error) error{
		"as it is": func(err error) error { return err },
		"marked":   Stop,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := 0
				err := Do(t.Context(), func(ctx context.Context) error {
					if n++; n == 1 {
						return errBusy
					}
					<-ctx.Done()
					return mark(ctx.Err())
				}, Options{Timeout: time.Minute})
				if !errors.Is(err, errBusy) {
					t.Errorf("error %v, want %v", err, errBusy)
				}
			})
		})
	}
}

func TestDoWrapsTheCauseOfItsContextsEndAndTheLastError(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupted by SIGINT")
	for _, tc := range []struct {
		name     string
		attempts func(ctx context.Context, n int) error
		last     error
		want     string
	}{
		{"in a pause", func(context.Context, int) error { return errBusy }, errBusy, "busy (interrupted by SIGINT)"},
		{"in an attempt after another", func(ctx context.Context, n int) error {
			if n == 1 {
				return errBusy
			}
			<-ctx.Done()
			return ctx.Err()
		}, errBusy, "busy (interrupted by SIGINT)"},
		{"in the first attempt", func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}, context.Canceled, "context canceled (interrupted by SIGINT)"},
		{"in an attempt that returns the cause", func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, interrupted, "interrupted by SIGINT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				time.AfterFunc(1500*time.Millisecond, func() { cancel(interrupted) })
				n := 0
				err := Do(ctx, func(ctx context.Context) error { n++; return tc.attempts(ctx, n) },
					Options{Timeout: time.Minute, Pause: Every(time.Second)})
				if !errors.Is(err, interrupted) || !errors.Is(err, tc.last) || err.Error() != tc.want {
					t.Errorf("error %v, want %s", err, tc.want)
				}
			})
		})
	}
}

func TestDoReturnsTheLastErrorAsItIsAfterItsOwnTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		err := Do(t.Context(), func(context.Context) error { return errBusy }, Options{Timeout: time.Second})
		if err != errBusy { //nolint:errorlint // not wrapped, which is the point
			t.Errorf("error %v, want %v itself", err, errBusy)
		}
	})
}

func TestAttemptTimeoutLeavesTimeForTheNextAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		err := Do(t.Context(), func(ctx context.Context) error {
			if n++; n == 1 {
				<-ctx.Done() // a request without an answer
				return ctx.Err()
			}
			return nil
		}, Options{Timeout: time.Minute, AttemptTimeout: 10 * time.Second})
		if err != nil || n != 2 {
			t.Errorf("%v after %d attempts", err, n)
		}
	})
}

func TestProgressReceivesEachErrorOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		errs := []error{errBusy, errBusy, errors.New("starting"), nil}
		err := Until(t.Context(), "the server", func(context.Context) error {
			err := errs[0]
			errs = errs[1:]
			return err
		}, Options{Progress: func(err error) { seen = append(seen, err.Error()) }})
		if diff := cmp.Diff([]string{"busy", "starting"}, seen); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	})
}

func TestUntilNamesTheConditionAndTheLastObservation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		check func(context.Context) error
		end   func(context.CancelFunc)
		want  string
		is    error
	}{
		{
			"at the timeout", func(context.Context) error { return errBusy }, nil,
			"timed out waiting for node cp1 ready after 10s: busy", context.DeadlineExceeded,
		},
		{
			"when it is canceled", func(context.Context) error { return errBusy },
			func(cancel context.CancelFunc) { time.AfterFunc(3*time.Second, cancel) },
			"stopped waiting for node cp1 ready after 3s: busy", context.Canceled,
		},
		{
			"without any observation", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nil,
			"timed out waiting for node cp1 ready after 10s: nothing observed yet", context.DeadlineExceeded,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.end != nil {
					tc.end(cancel)
				}
				err := Until(ctx, "node cp1 ready", tc.check, Options{Timeout: 10 * time.Second})
				var late *WaitError
				if !errors.As(err, &late) || !errors.Is(err, tc.is) || err.Error() != tc.want {
					t.Errorf("error %v, want %s", err, tc.want)
				}
			})
		})
	}
}

func TestUntilReturnsAnErrorMarkedByStopAsItIs(t *testing.T) {
	t.Parallel()
	err := Until(t.Context(), "node cp1 ready", func(context.Context) error { return Stop(errBusy) }, Options{})
	if err != errBusy { //nolint:errorlint // not wrapped, which is the point
		t.Errorf("error %v, want %v itself", err, errBusy)
	}
	if Stop(nil) != nil {
		t.Error("Stop(nil) is an error")
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		pause Pause
		n     int
		took  time.Duration
		want  time.Duration
	}{
		{"every pauses alike", Every(time.Second), 7, time.Minute, time.Second},
		{"doubling begins with the first", Doubling(time.Second, time.Minute), 1, 0, time.Second},
		{"doubling doubles", Doubling(time.Second, time.Minute), 4, 0, 8 * time.Second},
		{"doubling ends at the longest", Doubling(time.Second, time.Minute), 99, 0, time.Minute},
		{"sparing keeps its interval for a fast server", Sparing(200*time.Millisecond, 5*time.Second), 1, 10 * time.Millisecond, 200 * time.Millisecond},
		{"sparing gives a slow server time", Sparing(200*time.Millisecond, 5*time.Second), 1, time.Second, 4 * time.Second},
		{"sparing ends at the longest", Sparing(200*time.Millisecond, 5*time.Second), 1, time.Minute, 5 * time.Second},
	} {
		if got := tc.pause(tc.n, tc.took); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("sleep: %v, want context.Canceled", err)
	}
	if err := Sleep(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
}

// late is a context whose deadline passes before it ends.
type late struct {
	context.Context
	passed *bool
}

func (l late) Deadline() (time.Time, bool) {
	if *l.passed {
		return time.Now(), true
	}
	return time.Now().Add(time.Hour), true
}

func TestAnAttemptAtTheDeadlineDoesNotHideTheOneBefore(t *testing.T) {
	t.Parallel()
	passed, n := false, 0
	ctx, end := context.WithCancel(t.Context())
	err := Do(late{ctx, &passed}, func(context.Context) error {
		if n++; n == 1 {
			return errors.New("no metrics")
		}
		passed = true
		time.AfterFunc(5*time.Millisecond, end)
		return errors.New("rate: Wait(n=1) would exceed context deadline")
	}, Options{Pause: Every(time.Millisecond)})
	if n != 2 || err == nil || err.Error() != "no metrics (context canceled)" {
		t.Errorf("got %v after %d attempts", err, n)
	}
}

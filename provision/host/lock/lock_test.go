package lock

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
)

// lockable is a host that only knows lock.sh, and keeps how it was called.
type lockable struct {
	host.Host

	mu     sync.Mutex
	verbs  []string
	times  []time.Duration // since the first
	record lockRecord
	start  time.Time
	// answer, if not nil, is the result of the script.
	answer func(verb string) error
}

func (l *lockable) String() string { return "cp" }

func (l *lockable) Run(_ context.Context, cmd host.Cmd) (host.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	verb := cmd.Argv[4]
	if l.verbs == nil {
		l.start = time.Now()
	}
	l.verbs, l.times = append(l.verbs, verb), append(l.times, time.Since(l.start))
	if err := json.Unmarshal([]byte(cmd.Argv[7]), &l.record); err != nil {
		return host.Result{}, err
	}
	if l.answer != nil {
		return host.Result{}, l.answer(verb)
	}
	return host.Result{}, nil
}

// take takes the lock, which must not be lost.
func take(t *testing.T, ctx context.Context, h host.Host) (*Lock, error) {
	t.Helper()
	return Take(ctx, h, "me@here", "apply", func(err error) { t.Errorf("lost: %v", err) })
}

func TestALockIsRenewedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &lockable{}
		ctx, cancel := context.WithCancel(t.Context())
		l, err := take(t, ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(20 * time.Second)
		cancel() // The run stops, and still works on the host.
		<-time.After(30 * time.Second)
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
		<-time.After(time.Minute)
		if diff := cmp.Diff([]string{"take", "take", "take", "take", "release"}, h.verbs); diff != "" {
			t.Error(diff)
		}
		at := []time.Duration{0, 15 * time.Second, 30 * time.Second, 45 * time.Second, 50 * time.Second}
		if diff := cmp.Diff(at, h.times); diff != "" {
			t.Error(diff)
		}
		if r := h.record; r.Holder != "me@here" || r.Run != "apply" || r.Since != "2000-01-01T00:00:00Z" || len(r.Token) < 20 {
			t.Errorf("the lock holds %+v", r)
		}
	})
}

func TestARenewalThatFailsIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &lockable{}
		h.answer = func(string) error {
			if n := len(h.verbs); n == 2 || n == 3 {
				return host.ErrUnreachable
			}
			return nil
		}
		l, err := take(t, t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Second)
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"take", "take", "take", "take", "release"}, h.verbs); diff != "" {
			t.Error(diff)
		}
	})
}

// heldBy is the script's answer when another installer holds the lock.
func heldBy(t *testing.T, r lockRecord) error {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return &host.ExitError{Host: "cp", Code: held, Stdout: string(line) + "\n"}
}

func TestASecondInstallerLearnsWhoHoldsTheLock(t *testing.T) {
	t.Parallel()
	h := &lockable{answer: func(string) error {
		return heldBy(t, lockRecord{Token: "x", Holder: "you@there", Run: "reset", Since: "2026-01-01T00:00:00Z"})
	}}
	l, err := take(t, t.Context(), h)
	var other *HeldError
	if l != nil || !errors.As(err, &other) {
		t.Fatalf("got %v, want a *HeldError", err)
	}
	if diff := cmp.Diff(&HeldError{Host: "cp", Holder: "you@there", Run: "reset", Since: "2026-01-01T00:00:00Z"}, other); diff != "" {
		t.Error(diff)
	}
	if got, want := err.Error(), "cp: locked by you@there (reset) since 2026-01-01T00:00:00Z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"take"}, h.verbs); diff != "" {
		t.Errorf("a lock that was not taken is released: %s", diff)
	}
}

// localhost slept, the lock expired, and another installer took it.
func TestALockThatIsTakenOverIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &lockable{}
		h.answer = func(string) error {
			if len(h.verbs) == 2 {
				return heldBy(t, lockRecord{Holder: "you@there"})
			}
			return nil
		}
		start, lost := time.Now(), make(chan error, 1)
		l, err := Take(t.Context(), h, "me@here", "apply", func(err error) { lost <- err })
		if err != nil {
			t.Fatal(err)
		}
		var other *HeldError
		if err := <-lost; !errors.As(err, &other) || other.Holder != "you@there" || time.Since(start) != renewal {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// It is not known whether the lock was taken: it would refuse the next run for a
// minute.
func TestALockThatMayHaveBeenTakenIsReleased(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		cancel bool
		verbs  []string
	}{
		{"after Ctrl-C", context.Canceled, true, []string{"take", "release"}},
		{"after the connection was lost", host.ErrOutcomeUnknown, false, []string{"take", "release"}},
		{"not if the host was never reached", host.ErrUnreachable, false, []string{"take"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h := &lockable{answer: func(verb string) error {
				if test.cancel {
					cancel()
				}
				if verb == "take" {
					return test.err
				}
				return nil
			}}
			if _, err := take(t, ctx, h); !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.verbs, h.verbs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestALockThatCannotBeReleasedIsAnError(t *testing.T) {
	t.Parallel()
	h := &lockable{answer: func(verb string) error {
		if verb == "release" {
			return host.ErrUnreachable
		}
		return nil
	}}
	l, err := take(t, t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); !errors.Is(err, host.ErrUnreachable) {
		t.Errorf("got %v, want %v", err, host.ErrUnreachable)
	}
}

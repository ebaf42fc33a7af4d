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
	"slipway.io/slipway/provision/localhost"
)

// fakeHost is a host that only runs lock.sh and records the calls.
type fakeHost struct {
	host.Host

	mu     sync.Mutex
	verbs  []string
	times  []time.Duration // since the first call
	record Record
	start  time.Time
	// answer returns the result of the script; nil is success.
	answer func(verb string) error
}

func (l *fakeHost) String() string { return "cp" }

func (l *fakeHost) Run(_ context.Context, cmd host.Cmd) (host.Result, error) {
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

// mine is a request that does not wait. The test fails if a lock is lost.
func mine(t *testing.T) Request {
	t.Helper()
	return Request{Holder: "me@here", Run: "apply", Lost: func(err error) { t.Errorf("lost: %v", err) }}
}

func TestALockIsRenewedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		ctx, cancel := context.WithCancel(t.Context())
		l, err := take(ctx, h, mine(t))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(20 * time.Second)
		cancel() // the run stops and cleans up
		<-time.After(30 * time.Second)
		if err := l.release(ctx); err != nil {
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
		if r := h.record; r.Holder != "me@here" || r.Run != "apply" || r.Since != "2000-01-01T00:00:00Z" || len(r.Token) < 20 ||
			r.Process != localhost.CurrentProcess() {
			t.Errorf("the lock holds %+v", r)
		}
	})
}

func TestAFailedRenewalIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		h.answer = func(string) error {
			if n := len(h.verbs); n == 2 || n == 3 {
				return host.ErrUnreachable
			}
			return nil
		}
		l, err := take(t.Context(), h, mine(t))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Second)
		if err := l.release(t.Context()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"take", "take", "take", "take", "release"}, h.verbs); diff != "" {
			t.Error(diff)
		}
	})
}

// heldBy is the script's answer when another installer holds the lock.
func heldBy(t *testing.T, r Record) error {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return &host.ExitError{Host: "cp", Code: held, Stdout: string(line) + "\n"}
}

func TestASecondInstallerIsRefusedWithTheHolder(t *testing.T) {
	t.Parallel()
	h := &fakeHost{answer: func(string) error {
		return heldBy(t, Record{Token: "x", Holder: "you@there", Run: "reset", Since: "2026-01-01T00:00:00Z"})
	}}
	l, err := take(t.Context(), h, mine(t))
	var other *HeldError
	if l != nil || !errors.As(err, &other) {
		t.Fatalf("got %v, want a *HeldError", err)
	}
	if diff := cmp.Diff(&HeldError{Place: "cp", Holder: "you@there", Run: "reset", Since: "2026-01-01T00:00:00Z"}, other); diff != "" {
		t.Error(diff)
	}
	if got, want := err.Error(), "cp: locked by you@there (reset) since 2026-01-01T00:00:00Z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"take"}, h.verbs); diff != "" {
		t.Errorf("a lock of another installer is released: %s", diff)
	}
}

// As after localhost slept until the lock expired.
func TestALockThatAnotherInstallerTookOverIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		h.answer = func(string) error {
			if len(h.verbs) == 2 {
				return heldBy(t, Record{Holder: "you@there"})
			}
			return nil
		}
		start, lost := time.Now(), make(chan error, 1)
		l, err := take(t.Context(), h, Request{Lost: func(err error) { lost <- err }})
		if err != nil {
			t.Fatal(err)
		}
		var other *HeldError
		if err := <-lost; !errors.As(err, &other) || other.Holder != "you@there" || time.Since(start) != renewal {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
		if err := l.release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

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
		{"but not if the host was unreachable", host.ErrUnreachable, false, []string{"take"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h := &fakeHost{answer: func(verb string) error {
				if test.cancel {
					cancel()
				}
				if verb == "take" {
					return test.err
				}
				return nil
			}}
			if _, err := take(ctx, h, mine(t)); !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.verbs, h.verbs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFailedReleaseIsAnError(t *testing.T) {
	t.Parallel()
	h := &fakeHost{answer: func(verb string) error {
		if verb == "release" {
			return host.ErrUnreachable
		}
		return nil
	}}
	l, err := take(t.Context(), h, mine(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.release(t.Context()); !errors.Is(err, host.ErrUnreachable) {
		t.Errorf("got %v, want %v", err, host.ErrUnreachable)
	}
}

package workflow

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
	"slipway.io/slipway/provision/host/lock"
)

// lockable is a host that only knows lock.sh, and keeps how it was called.
type lockable struct {
	mu    sync.Mutex
	verbs []string
	// answer, if not nil, is the result of the script.
	answer func(verb string) error
}

func (l *lockable) host() host.Host {
	return scripted{run: func(_ context.Context, cmd host.Cmd) (host.Result, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		verb := cmd.Argv[4]
		l.verbs = append(l.verbs, verb)
		if l.answer != nil {
			return host.Result{}, l.answer(verb)
		}
		return host.Result{}, nil
	}}
}

// lockPhase takes the lock and then does something.
func lockPhase(do func(context.Context) error) Phase {
	return Phase{Name: "lock", Do: func(ctx context.Context, s *Step) error {
		if err := s.Lock(ctx); err != nil {
			return err
		}
		return do(ctx)
	}}
}

func lockRun(hosts ...*lockable) *Run {
	names := []string{"cp", "w1", "w2"}[:len(hosts)]
	all := hostsOf(names...)
	for i, h := range hosts {
		all.All[i].Conn = h.host()
	}
	r, _ := runOf(all)
	return r
}

// heldBy is the script's answer when another installer holds the lock.
func heldBy(t *testing.T, holder string) error {
	t.Helper()
	line, err := json.Marshal(map[string]string{"holder": holder})
	if err != nil {
		t.Fatal(err)
	}
	return &host.ExitError{Host: "cp", Code: 75, Stdout: string(line) + "\n"}
}

func TestALockIsTakenOnceARun(t *testing.T) {
	t.Parallel()
	h := &lockable{}
	again := lockPhase(func(context.Context) error { return nil })
	again.Name, again.Needs = "again", []string{"lock"}
	do(t, lockRun(h), lockPhase(func(context.Context) error { return nil }), again)
	if diff := cmp.Diff([]string{"take", "release"}, h.verbs); diff != "" {
		t.Error(diff)
	}
}

func TestAPlanTakesNoLock(t *testing.T) {
	t.Parallel()
	h := &lockable{}
	r := lockRun(h)
	r.Plan = true
	do(t, r, lockPhase(func(context.Context) error { return nil }))
	if len(h.verbs) > 0 {
		t.Errorf("the lock script ran: %v", h.verbs)
	}
}

func TestARunStopsAtALockThatIsHeld(t *testing.T) {
	t.Parallel()
	h := &lockable{answer: func(string) error { return heldBy(t, "you@there") }}
	err := lockRun(h).Do(t.Context(), Workflow{Name: "test", Phases: []Phase{lockPhase(func(context.Context) error {
		t.Error("the phase continues without the lock")
		return nil
	})}})
	var held *lock.HeldError
	if !errors.As(err, &held) || held.Holder != "you@there" {
		t.Errorf("got %v, want a *lock.HeldError", err)
	}
	if Hint(err) == "" {
		t.Error("the error has no hint")
	}
}

func TestARunEndsWhenItsLockIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, other := &lockable{}, &lockable{}
		first.answer = func(string) error {
			if len(first.verbs) == 2 {
				return heldBy(t, "you@there")
			}
			return nil
		}
		err := lockRun(first, other).Do(t.Context(), Workflow{Name: "test", Phases: []Phase{
			lockPhase(func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}),
			{Name: "next", Needs: []string{"lock"}, Do: func(context.Context, *Step) error { t.Error("the run continues"); return nil }},
		}})
		var held *lock.HeldError
		if !errors.As(err, &held) || held.Holder != "you@there" || Hint(err) == "" {
			t.Errorf("got %v, hint %q", err, Hint(err))
		}
		if last := other.verbs[len(other.verbs)-1]; last != "release" {
			t.Errorf("the other host's lock is not released: %v", other.verbs)
		}
	})
}

func TestCtrlCReleasesTheLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hosts := []*lockable{{}, {}, {}}
		err := lockRun(hosts...).Do(ctx, Workflow{Name: "test", Phases: []Phase{lockPhase(func(ctx context.Context) error {
			<-time.After(time.Second) // All hosts are locked by then.
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		for i, h := range hosts {
			if diff := cmp.Diff([]string{"take", "release"}, h.verbs); diff != "" {
				t.Errorf("host %d: %s", i, diff)
			}
		}
	})
}

func TestALockThatCannotBeReleasedFailsTheRun(t *testing.T) {
	t.Parallel()
	h := &lockable{answer: func(verb string) error {
		if verb == "release" {
			return host.ErrUnreachable
		}
		return nil
	}}
	err := lockRun(h).Do(t.Context(), Workflow{Name: "test", Phases: []Phase{lockPhase(func(context.Context) error { return nil })}})
	if !errors.Is(err, host.ErrUnreachable) {
		t.Errorf("got %v, want %v", err, host.ErrUnreachable)
	}
}

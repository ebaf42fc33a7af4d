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

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/report"
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

// lockPhase takes the locks and then does something.
func lockPhase(do func(context.Context) error) Phase {
	return Phase{Name: "lock", On: Localhost, Always: true, Do: func(ctx context.Context, s *Step) error {
		if err := s.Lock(ctx, false); err != nil {
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

// change is a phase that changes each host, and must not run.
func change(t *testing.T) Phase {
	t.Helper()
	return Phase{Name: "change", Needs: []string{"lock"}, Do: func(_ context.Context, s *Step) error {
		t.Errorf("%s is changed", s.hostName())
		return nil
	}}
}

// heldBy is the script's answer when another installer holds the lock.
func heldBy(t *testing.T, holder string) error {
	t.Helper()
	line, err := json.Marshal(map[string]string{"holder": holder, "run": "apply", "since": "12:00"})
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

func TestALockThatIsHeldOnOneHostStopsTheRunOnAll(t *testing.T) {
	t.Parallel()
	hosts := []*lockable{{}, {answer: func(string) error { return heldBy(t, "you@there") }}, {}}
	r := lockRun(hosts...)
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{
		lockPhase(func(context.Context) error { t.Error("the phase continues without the lock"); return nil }), change(t),
	}})
	var held *lock.HeldError
	if !errors.As(err, &held) || held.Holder != "you@there" {
		t.Errorf("got %v, want a *lock.HeldError", err)
	}
	if Hint(err) == "" {
		t.Error("the error has no hint")
	}
	for i, h := range hosts {
		if n := len(h.verbs); i != 1 && n > 0 && h.verbs[n-1] != "release" {
			t.Errorf("host %d is still locked: %v", i, h.verbs)
		}
	}
}

func TestARunShowsThatItWaitsForALock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &lockable{}
		h.answer = func(string) error {
			if len(h.verbs) <= 3 {
				return heldBy(t, "you@there")
			}
			return nil
		}
		r := lockRun(h)
		events := &report.Recorder{}
		r.Sink, r.LockTimeout = events, time.Minute
		do(t, r, lockPhase(func(context.Context) error { return nil }))
		var waits []string
		for _, e := range events.Events() {
			if e.Kind == report.Waiting {
				waits = append(waits, e.Message)
			}
		}
		if diff := cmp.Diff([]string{"scripted: locked by you@there (apply) since 12:00; waiting up to 1m0s"}, waits); diff != "" {
			t.Error(diff)
		}
	})
}

// The other run may have created the cluster meanwhile.
func TestARunThatWaitedForALockReadsTheHostsAgain(t *testing.T) {
	t.Parallel()
	refused := errors.New("the host has changed")
	for name, test := range map[string]struct {
		held, reads int
		// fails is the number of the read that fails.
		fails int
		want  error
	}{
		"without a wait":               {reads: 1},
		"after a wait":                 {held: 2, reads: 2},
		"after a wait, with a failure": {held: 2, reads: 2, fails: 2, want: refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &lockable{}
				h.answer = func(string) error {
					if len(h.verbs) <= test.held {
						return heldBy(t, "you@there")
					}
					return nil
				}
				r := lockRun(h)
				r.LockTimeout = time.Minute
				reads, seen := 0, 0
				read := Phase{Name: "read", ReadOnly: true, Always: true, Do: func(context.Context, *Step) error {
					if reads++; reads == test.fails {
						return refused
					}
					return nil
				}}
				take := lockPhase(func(context.Context) error { return nil })
				take.NeedsAll = []string{"read"}
				err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{read, take, {
					Name: "change", Needs: []string{"lock"}, Do: func(context.Context, *Step) error { seen = reads; return nil },
				}}})
				if !errors.Is(err, test.want) || reads != test.reads {
					t.Errorf("got %v after %d reads, want %v after %d", err, reads, test.want, test.reads)
				}
				if changed := seen > 0; changed != (test.want == nil) || changed && seen != test.reads {
					t.Errorf("the change came after %d reads", seen)
				}
				if n := len(h.verbs); h.verbs[n-1] != "release" {
					t.Errorf("the host is still locked: %v", h.verbs)
				}
			})
		})
	}
}

func TestCtrlCEndsTheWaitForALock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		h := &lockable{answer: func(string) error { return heldBy(t, "you@there") }}
		r := lockRun(h)
		r.LockTimeout = time.Hour
		start := time.Now()
		err := r.Do(ctx, Workflow{Name: "test", Phases: []Phase{lockPhase(func(context.Context) error { return nil }), change(t)}})
		if !errors.Is(err, context.Canceled) || time.Since(start) > 3*time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

func TestOnlySelectedHostsThatAnswerAreLocked(t *testing.T) {
	t.Parallel()
	hosts := []*lockable{{}, {}, {}}
	r := lockRun(hosts...)
	r.Hosts.All[2].SetUnreachable(lost("w2"))
	r.Selection.Hosts = []string{"w1", "w2"}
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{lockPhase(func(context.Context) error { return nil })}})
	if !errors.Is(err, host.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	var verbs [][]string
	for _, h := range hosts {
		verbs = append(verbs, h.verbs)
	}
	if diff := cmp.Diff([][]string{nil, {"take", "release"}, nil}, verbs); diff != "" {
		t.Error(diff)
	}
}

func TestAHostThatLeavesIsLockedIfAPhaseChangesIt(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context) error { return nil }
	for name, test := range map[string]struct {
		phase  Phase
		locked bool
	}{
		"a phase that reads it":      {Phase{On: ObservedHosts, ReadOnly: true}, false},
		"a phase of the other hosts": {Phase{On: EachHost}, false},
		"a phase that is off":        {Phase{On: ObservedHosts, Enabled: func(*config.Cluster) bool { return false }}, false},
		"a phase that changes it":    {Phase{On: ObservedHosts}, true},
	} {
		cp, leaving := &lockable{}, &lockable{}
		r := lockRun(cp)
		r.Hosts.Leaving = []*Host{{Config: config.Host{Name: "w9", State: config.StateAbsent}, Conn: leaving.host()}}
		test.phase.Name, test.phase.Do = "work", func(context.Context, *Step) error { return nil }
		do(t, r, lockPhase(nothing), test.phase)
		if len(cp.verbs) != 2 || (len(leaving.verbs) == 2) != test.locked {
			t.Errorf("%s: %q and %q", name, cp.verbs, leaving.verbs)
		}
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
			change(t),
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

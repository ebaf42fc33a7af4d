package workflow

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// queued returns a phase that is OneAtATime, on the control planes. It takes a minute
// on each of them, and writes when it starts and ends.
func queued(d *diary, needs ...string) Phase {
	return Phase{Name: "join", On: ControlPlanes, Needs: needs, OneAtATime: true, Do: func(ctx context.Context, s *Step) error {
		d.write("start %s", s.hostName())
		<-time.After(time.Minute)
		d.write("end %s", s.hostName())
		return ctx.Err()
	}}
}

func TestOneAtATimeFollowsTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{1, 2, 10} {
		synctest.Test(t, func(t *testing.T) {
			d := &diary{}
			r, _ := runOf(hostsOf("cp-1", "cp-2", "cp-3"))
			r.Parallel = parallel
			// cp-3 is prepared first, then cp-1 while cp-3 is at it, then cp-2.
			arrival := map[string]time.Duration{"cp-3": time.Second, "cp-1": 2 * time.Second, "cp-2": 3 * time.Second}
			prepare := Phase{Name: "prepare", On: ControlPlanes, Do: func(_ context.Context, s *Step) error {
				if parallel > 2 {
					<-time.After(arrival[s.hostName()])
				}
				return nil
			}}
			started := time.Now()
			do(t, r, prepare, queued(d, "prepare"))
			if took := time.Since(started); took < 3*time.Minute || took > 3*time.Minute+4*time.Second {
				t.Errorf("with %d slots it took %s", parallel, took)
			}
			for i := 0; i < len(d.lines); i += 2 {
				if strings.TrimPrefix(d.lines[i], "start ") != strings.TrimPrefix(d.lines[i+1], "end ") {
					t.Fatalf("two hosts are at the phase: %q", d.lines)
				}
			}
			want := []string{"start cp-3", "end cp-3", "start cp-1", "end cp-1", "start cp-2", "end cp-2"}
			if diff := cmp.Diff(want, d.lines); parallel > 2 && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAHostLetsTheNextOneInBeforeItsEnd(t *testing.T) {
	t.Parallel()
	for name, once := range map[string]bool{"a phase that is OneAtATime": true, "another phase": false} {
		synctest.Test(t, func(t *testing.T) {
			d := &diary{}
			r, _ := runOf(hostsOf("cp-1", "cp-2", "cp-3"))
			r.Parallel = 10
			var at atomic.Int32
			join := Phase{Name: "join", On: ControlPlanes, OneAtATime: once, Do: func(_ context.Context, s *Step) error {
				if at.Add(1) > 1 && once {
					t.Errorf("%s is not alone", s.hostName())
				}
				<-time.After(20 * time.Second)
				at.Add(-1)
				s.NextHost()
				s.NextHost() // the place is that of the next one
				<-time.After(40 * time.Second)
				s.NextHost()
				d.write("end %s", s.hostName())
				return nil
			}}
			started := time.Now()
			do(t, r, join)
			want := time.Minute
			if once {
				want += 40 * time.Second
			}
			if took := time.Since(started); took != want || len(d.lines) != 3 {
				t.Errorf("%s took %s: %q", name, took, d.lines)
			}
		})
	}
}

func TestAHostWithNothingToDoDoesNotWaitForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		r, _ := runOf(hostsOf("cp-1", "cp-2"))
		join := queued(d)
		join.Done = func(_ context.Context, s *Step) (bool, error) { return s.hostName() == "cp-2", nil }
		var after time.Duration
		started := time.Now()
		next := Phase{Name: "next", On: ControlPlanes, Needs: []string{"join"}, Do: func(_ context.Context, s *Step) error {
			if s.hostName() == "cp-2" {
				after = time.Since(started)
			}
			return nil
		}}
		do(t, r, join, next)
		if after >= time.Minute {
			t.Errorf("cp-2 waited %s", after)
		}
	})
}

// A host that waits for its turn does not keep others from preparing.
func TestAHostThatWaitsForItsTurnUsesNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		r, _ := runOf(hostsOf("cp-1", "cp-2", "w-1"))
		r.Parallel = 2
		var prepared time.Duration
		started := time.Now()
		begin := d.phase("begin", ControlPlanes)
		work := Phase{Name: "work", On: Workers, Do: func(context.Context, *Step) error {
			<-time.After(2 * time.Second) // until both control planes have arrived
			return nil
		}}
		more := Phase{Name: "more", On: Workers, Needs: []string{"work"}, Do: func(context.Context, *Step) error {
			prepared = time.Since(started)
			return nil
		}}
		do(t, r, begin, work, queued(d, "begin"), more)
		if prepared >= time.Minute {
			t.Errorf("w-1 waited %s", prepared)
		}
	})
}

func TestAFailureLetsTheNextHostIn(t *testing.T) {
	t.Parallel()
	r, _ := runOf(hostsOf("cp-1", "cp-2", "cp-3"))
	var tried atomic.Int32
	join := Phase{Name: "join", OneAtATime: true, Do: func(context.Context, *Step) error {
		tried.Add(1)
		return errors.New("no")
	}}
	if err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{join}}); err == nil || tried.Load() != 3 {
		t.Errorf("%d hosts tried; got %v", tried.Load(), err)
	}
}

func TestAnInterruptEndsTheWaitForATurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		r, events := runOf(hostsOf("cp-1", "cp-2"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Do(ctx, Workflow{Name: "test", Phases: []Phase{queued(d)}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if len(d.lines) != 2 {
			t.Errorf("the second host started: %q", d.lines)
		}
		if diff := cmp.Diff([]string{"cp-1 join phase-skipped", "cp-2 join phase-skipped"}, kinds(events)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestATurnThatComesWithAnInterruptIsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := runOf(hostsOf("cp-1"))
		ctx, cancel := context.WithCancel(t.Context())
		turn, slots := &task{queue: make(chan struct{}, 1)}, make(chan struct{}, 1)
		turn.queue <- struct{}{} // another host is at the phase
		slots <- struct{}{}
		var err error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, err = turn.enqueue(ctx, &Step{run: r, phase: Phase{Name: "join"}}, slots)
		}()
		slots <- struct{}{} // a task of another host works
		<-turn.queue
		synctest.Wait() // the host has its turn, and waits for a slot
		cancel()
		<-slots
		<-ended
		if !errors.Is(err, context.Canceled) || len(turn.queue) > 0 {
			t.Errorf("got %v, and %d hosts are at the phase", err, len(turn.queue))
		}
	})
}

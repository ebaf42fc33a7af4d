package workflow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report"
)

func TestPhasesRunAfterWhatTheyNeed(t *testing.T) {
	t.Parallel()
	d := &diary{}
	r, _ := runOf(hostsOf("cp"))
	do(t, r, d.phase("a", EachHost), d.phase("b", Seed, "a"), d.phase("c", Localhost, "b"), d.phase("d", EachHost, "c"))
	if diff := cmp.Diff([]string{"a cp", "b cp", "c ", "d cp"}, d.lines); diff != "" {
		t.Error(diff)
	}
}

// A barrier between the phases would be a deadlock, which synctest detects.
func TestASlowHostDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		through := make(chan struct{})
		r, _ := runOf(hostsOf("cp", "w"))
		do(t, r,
			Phase{Name: "prepare", Do: func(_ context.Context, s *Step) error {
				if s.hostName() == "cp" {
					<-through
				}
				return nil
			}},
			Phase{Name: "install", Needs: []string{"prepare"}, Do: func(context.Context, *Step) error { return nil }},
			Phase{Name: "finish", On: Workers, Needs: []string{"install"}, Do: func(context.Context, *Step) error {
				close(through)
				return nil
			}})
	})
}

func TestAPhaseThatNeedsAllWaitsForEveryHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int32
		r, _ := runOf(hostsOf("cp", "w1", "w2"))
		do(t, r,
			Phase{Name: "observe", Do: func(_ context.Context, s *Step) error {
				if s.hostName() == "w1" {
					<-time.After(time.Hour)
				}
				done.Add(1)
				return nil
			}},
			Phase{Name: "act", NeedsAll: []string{"observe"}, Do: func(_ context.Context, s *Step) error {
				if n := done.Load(); n != 3 {
					t.Errorf("%s acts after %d of 3 have observed", s.hostName(), n)
				}
				return nil
			}})
	})
}

func TestParallelBoundsThePhasesThatRunAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		r, _ := runOf(hostsOf("cp", "w1", "w2", "w3", "w4"))
		r.Parallel = 2
		busy := func(context.Context, *Step) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Minute)
			now.Add(-1)
			return nil
		}
		start := time.Now()
		do(t, r, Phase{Name: "a", Do: busy}, Phase{Name: "b", Needs: []string{"a"}, Do: busy})
		if most.Load() != 2 || time.Since(start) != 5*time.Minute {
			t.Errorf("%d at once at most, %s for ten minutes of work; want 2 and 5 minutes", most.Load(), time.Since(start))
		}
	})
}

func TestAFailureStopsOnlyItsOwnChainAndWhatNeedsIt(t *testing.T) {
	t.Parallel()
	d := &diary{}
	broken := errors.New("broken")
	everywhere := d.phase("ready", Seed)
	everywhere.NeedsAll = []string{"b"}
	fail := d.phase("a", EachHost)
	fail.Do = func(_ context.Context, s *Step) error {
		if strings.HasPrefix(s.hostName(), "w") {
			return WithHint(broken, "fix it")
		}
		return nil
	}
	r, events := runOf(hostsOf("cp", "w1", "w2"))
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{fail, d.phase("b", EachHost, "a"), everywhere}})

	if diff := cmp.Diff([]string{"b cp"}, d.sorted()); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"cp a phase-unchanged", "cp b phase-unchanged", "cp ready phase-skipped",
		"w1 a phase-failed", "w1 b phase-skipped", "w2 a phase-failed", "w2 b phase-skipped",
	}
	if diff := cmp.Diff(want, kinds(events)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a on w1: broken", "a on w2: broken"}, failures(t, err)); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, broken) || Hint(err) != "fix it" {
		t.Errorf("the cause or its hint is missing: %v, hint %q", err, Hint(err))
	}
}

// failures are the texts of a run's error, each a *PhaseError, sorted.
func failures(t *testing.T, err error) []string {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want joined errors", err)
	}
	var texts []string
	for _, one := range joined.Unwrap() {
		var failed *PhaseError
		if !errors.As(one, &failed) {
			t.Errorf("%v is not a *PhaseError", one)
		}
		texts = append(texts, one.Error())
	}
	return slices.Sorted(slices.Values(texts))
}

func TestPhaseErrorNamesTheHostOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  PhaseError
		want string
	}{
		{"on a host", PhaseError{"lock", "w1", errors.New("no")}, "lock on w1: no"},
		{"on a host that the error names", PhaseError{"lock", "w1", errors.New("w1: no")}, "lock on w1: no"},
		{"about another host", PhaseError{"lock", "w1", errors.New("w2: no")}, "lock on w1: w2: no"},
		{"on localhost", PhaseError{"bundle", "", errors.New("no")}, "bundle: no"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.err.Error(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAPhaseThatIsDoneDoesNotRun(t *testing.T) {
	t.Parallel()
	r, events := runOf(hostsOf("cp", "w"))
	unsure := errors.New("cannot tell")
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{
		{
			Name: "a",
			Done: func(_ context.Context, s *Step) (bool, error) { return s.hostName() == "cp", nil },
			Do: func(_ context.Context, s *Step) error {
				s.Changed("changed %s", s.hostName())
				s.Changed("and again")
				return nil
			},
		},
		{
			Name: "b", On: Workers,
			Done: func(context.Context, *Step) (bool, error) { return false, unsure },
			Do:   func(context.Context, *Step) error { t.Error("Do runs although Done has failed"); return nil },
		},
	}})
	if !errors.Is(err, unsure) {
		t.Errorf("got %v, want what Done said", err)
	}
	if diff := cmp.Diff([]string{"cp a phase-unchanged", "w a phase-changed", "w b phase-failed"}, kinds(events)); diff != "" {
		t.Error(diff)
	}
	all := events.Events()
	if last := all[len(all)-1]; last.Kind != report.RunFinished || last.Changes != 2 || last.Error == "" {
		t.Errorf("the last event is %+v, want the end of the run with 2 changes and an error", last)
	}
}

func TestEventsSayWhatHappens(t *testing.T) {
	t.Parallel()
	r, events := runOf(hostsOf("cp"))
	do(t, r, Phase{Name: "a", Title: "do it", Do: func(_ context.Context, s *Step) error {
		s.Waiting("for it")
		s.Note("%d things", 2)
		_, err := s.Output().Write([]byte("one\r\ntw"))
		return err
	}}, Phase{Name: "b", On: Localhost, Do: func(_ context.Context, s *Step) error {
		out := s.Output()
		for _, part := range []string{"o", "ne\nslipway: waiting for apt (pid 7)\nt", "wo\n"} {
			if _, err := out.Write([]byte(part)); err != nil {
				return err
			}
		}
		return nil
	}, NeedsAll: []string{"a"}})
	var got []string
	for _, e := range events.Events() {
		if e.Run != "test" || e.Cluster != "lab" || e.Time.IsZero() {
			t.Errorf("%+v lacks the run, the cluster or the time", e)
		}
		got = append(got, strings.Join([]string{string(e.Kind), e.Host, e.Phase, e.Message}, "|"))
	}
	want := []string{
		"run-started|||1 hosts, 2 phases",
		"phase-started|cp|a|do it", "waiting|cp|a|for it", "note|cp|a|2 things", "output|cp|a|one", "phase-unchanged|cp|a|do it",
		"phase-started||b|", "output||b|one", "waiting||b|waiting for apt (pid 7)", "output||b|two", "phase-unchanged||b|",
		"run-finished|||",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNothingStartsAfterCtrlC(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		interrupted := errors.New("interrupt signal received")
		ctx, cancel := context.WithCancelCause(t.Context())
		d := &diary{}
		r, events := runOf(hostsOf("cp", "w"))
		r.Parallel = 1
		err := r.Do(ctx, Workflow{Name: "test", Phases: []Phase{
			{Name: "a", Do: func(ctx context.Context, s *Step) error {
				cancel(interrupted)
				<-ctx.Done()
				d.write("a ended")
				return ctx.Err()
			}},
			d.phase("b", EachHost, "a"),
		}})
		if err == nil || err.Error() != interrupted.Error() {
			t.Errorf("got %v, want only what the signal said", err)
		}
		if diff := cmp.Diff([]string{"a ended"}, d.lines); diff != "" {
			t.Errorf("what runs ends, nothing else starts: %s", diff)
		}
		for _, kind := range kinds(events) {
			if !strings.HasSuffix(kind, " a phase-skipped") {
				t.Errorf("unexpected %s", kind)
			}
		}
	})
}

func TestAnErrorWithoutAHintGetsThatOfTheRun(t *testing.T) {
	t.Parallel()
	own, kind := errors.New("own"), errors.New("kind")
	tests := []struct {
		name, want string
		err        error
		hint       func(error) string
	}{
		{"its own hint", "do this", WithHint(own, "do this"), func(error) string { return "do that" }},
		{"the hint of the run", "do that", kind, func(err error) string {
			if errors.Is(err, kind) {
				return "do that"
			}
			return ""
		}},
		{"none", "", kind, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, events := runOf(hostsOf("cp"))
			r.Hint = test.hint
			if err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{{Name: "a", Do: func(context.Context, *Step) error { return test.err }}}}); err == nil {
				t.Fatal("no error")
			}
			for _, e := range events.Events() {
				if (e.Kind == report.PhaseFailed || e.Kind == report.RunFinished) && e.Hint != test.want {
					t.Errorf("%s: hint %q, want %q", e.Kind, e.Hint, test.want)
				}
			}
		})
	}
}

// Two runs in one process, each on its own hosts, do not know of each other.
func TestRunsOfTwoClustersShareNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		broken := errors.New("broken")
		runs := map[string]*report.Recorder{}
		var all sync.WaitGroup
		for name, plan := range map[string]bool{"blue": false, "green": true} {
			r, events := runOf(hostsOf("cp", "w"))
			r.Cluster = &config.Cluster{Metadata: config.Metadata{Name: name}}
			r.Plan, runs[name] = plan, events
			all.Go(func() {
				err := r.Do(t.Context(), Workflow{Name: "apply", Phases: []Phase{
					{Name: "observe", Do: func(_ context.Context, s *Step) error {
						s.Target.SetFacts(&facts.Facts{Hostname: s.Cluster().Metadata.Name})
						<-release // both runs are active
						return nil
					}},
					{Name: "act", On: Workers, Needs: []string{"observe"}, Do: func(_ context.Context, s *Step) error {
						if got := s.Facts().Hostname; got != name {
							t.Errorf("%s has the facts of %s", name, got)
						}
						if s.Planning() != plan {
							t.Errorf("%s is planning: %t", name, s.Planning())
						}
						if !plan {
							return broken
						}
						return nil
					}},
				}})
				if (err != nil) == plan {
					t.Errorf("%s ends with %v", name, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		for name, events := range runs {
			got := kinds(events)
			want := []string{"cp observe phase-unchanged", "w act phase-failed", "w observe phase-unchanged"}
			if name == "green" {
				want[1] = "w act phase-unchanged"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			for _, e := range events.Events() {
				if e.Cluster != name || (e.Run == "plan") != (name == "green") {
					t.Errorf("%s has an event of %s %s", name, e.Run, e.Cluster)
				}
			}
		}
	})
}

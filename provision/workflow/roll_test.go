package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/report"
)

// rolling is a workflow on three control planes and ten workers: each host is
// drained, upgraded and uncordoned; the control planes before the workers.
type rolling struct {
	diary
	run    *Run
	events *report.Recorder
	// controlPlanes and workers are its rolls.
	controlPlanes, workers *Roll
	// upgrade replaces what the phase of that name does, if set.
	upgrade func(context.Context, *Step) error
	// independent: the workers do not wait for the control planes.
	independent bool
}

func newRolling() *rolling {
	r := &rolling{controlPlanes: &Roll{Name: "control-planes", Batch: intstr.FromInt32(1)}, workers: &Roll{Name: "workers"}}
	r.run, r.events = runOf(hostsOf("w1", "w2", "w3", "cp1", "cp2", "cp3", "w4", "w5", "w6", "w7", "w8", "w9", "w10"))
	return r
}

func (r *rolling) workflow() Workflow {
	facts := nothing("facts", EachHost)
	facts.ReadOnly, facts.Do = true, func(context.Context, *Step) error { return nil }
	phases := []Phase{facts}
	for _, of := range []struct {
		roll *Roll
		on   Place
		name string
	}{{r.controlPlanes, ControlPlanes, "control-plane"}, {r.workers, Workers, "worker"}} {
		drain := r.phase("drain-"+of.name, of.on, "facts")
		drain.OnDisruption = true
		if of.roll == r.workers && !r.independent {
			drain.NeedsAll = []string{"uncordon-control-plane"}
		}
		upgrade := r.phase("upgrade-"+of.name, of.on)
		if write := upgrade.Do; r.upgrade != nil {
			upgrade.Do = func(ctx context.Context, s *Step) error {
				if err := r.upgrade(ctx, s); err != nil {
					return err
				}
				return write(ctx, s)
			}
		}
		uncordon := r.phase("uncordon-"+of.name, of.on)
		uncordon.OnDisruption = true
		for _, p := range []Phase{drain, upgrade, uncordon} {
			p.Roll = of.roll
			phases = append(phases, p)
		}
	}
	return Workflow{Name: "upgrade", Phases: phases}
}

// turns lists the hosts on which the phase has run, in the order of their turns.
func (r *rolling) turns(phase string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var hosts []string
	for _, line := range r.lines {
		if name, h, _ := strings.Cut(line, " "); strings.HasPrefix(name, phase) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func (r *rolling) mustRun(t *testing.T) {
	t.Helper()
	if err := r.run.Do(t.Context(), r.workflow()); err != nil {
		t.Fatal(err)
	}
}

var tenWorkers = []string{"w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "w10"}

func TestHostsTakeTurnsInTheOrderOfTheInventory(t *testing.T) {
	t.Parallel()
	r := newRolling()
	r.mustRun(t)
	var want []string
	for _, h := range []string{"cp1", "cp2", "cp3"} {
		want = append(want, "drain-control-plane "+h, "upgrade-control-plane "+h, "uncordon-control-plane "+h)
	}
	for _, h := range tenWorkers {
		want = append(want, "drain-worker "+h, "upgrade-worker "+h, "uncordon-worker "+h)
	}
	if diff := cmp.Diff(want, r.lines); diff != "" {
		t.Error(diff)
	}
}

func TestTheSeedHasTheFirstTurn(t *testing.T) {
	t.Parallel()
	d := &diary{}
	r, _ := runOf(hostsOf("w1", "cp1"))
	roll := &Roll{Name: "all"}
	first, rest := d.phase("upgrade-seed", Seed), d.phase("upgrade", EachHost, "upgrade-seed")
	first.Roll, rest.Roll = roll, roll
	do(t, r, first, rest)
	if diff := cmp.Diff([]string{"upgrade-seed cp1", "upgrade cp1", "upgrade w1"}, d.lines); diff != "" {
		t.Error(diff)
	}
}

// Each upgrade takes a minute: the time says how many batches there were.
func TestBatchSize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		roll, run intstr.IntOrString
		hosts     []string
		most      int
		minutes   int
	}{
		{"ten percent by default", intstr.IntOrString{}, intstr.IntOrString{}, nil, 1, 10},
		{"a number of the run", intstr.IntOrString{}, intstr.FromInt32(4), nil, 4, 3},
		{"a percentage of the run", intstr.IntOrString{}, intstr.FromString("50%"), nil, 5, 2},
		{"rounded down", intstr.IntOrString{}, intstr.FromString("39%"), nil, 3, 4},
		{"at least one", intstr.IntOrString{}, intstr.FromString("1%"), nil, 1, 10},
		{"one if the number is negative", intstr.IntOrString{}, intstr.FromInt32(-3), nil, 1, 10},
		{"more than there are", intstr.IntOrString{}, intstr.FromInt32(50), nil, 10, 1},
		{"a number of the roll before that of the run", intstr.FromInt32(2), intstr.FromInt32(5), nil, 2, 5},
		{"a percentage of the selected hosts", intstr.IntOrString{}, intstr.FromString("50%"), []string{"w1", "w2", "w3", "w4"}, 2, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				now, most := 0, 0
				count := func(n int) {
					mu.Lock()
					defer mu.Unlock()
					now += n
					most = max(most, now)
				}
				r := newRolling()
				r.workers.Batch, r.run.Batch, r.run.Selection.Hosts = test.roll, test.run, test.hosts
				r.upgrade = func(_ context.Context, s *Step) error {
					if strings.HasPrefix(s.hostName(), "w") {
						count(1)
						<-time.After(time.Minute)
						count(-1)
					}
					return nil
				}
				start := time.Now()
				r.mustRun(t)
				if took := time.Since(start); most != test.most || took != time.Duration(test.minutes)*time.Minute {
					t.Errorf("%d at once in %s, want %d in %d minutes", most, took, test.most, test.minutes)
				}
			})
		})
	}
}

func TestAnInvalidBatchIsRefused(t *testing.T) {
	t.Parallel()
	r := newRolling()
	r.run.Batch = intstr.FromString("many")
	err := r.run.Do(t.Context(), r.workflow())
	if err == nil || err.Error() != "workflow upgrade: roll workers: batch many: use a number or a percentage such as 10%" {
		t.Errorf("got %v", err)
	}
	if events := r.events.Events(); len(events) > 0 {
		t.Errorf("the run has started: %v", events)
	}
}

func TestAFailureStopsItsRollAndNoOther(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		fails         string
		independent   bool
		control, work []string
		skipped       string
		reason        string
	}{
		{
			"in the middle of the workers", "w4", false,
			[]string{"cp1", "cp2", "cp3"},
			[]string{"w1", "w2", "w3"},
			"w10", "roll workers has stopped: upgrade-worker w4 did not succeed",
		},
		{
			"in the middle of the control planes, on which the workers wait", "cp2", false,
			[]string{"cp1"},
			nil,
			"w1", "upgrade-control-plane cp2 did not succeed",
		},
		{
			"in the middle of the control planes, on which no worker waits", "cp2", true,
			[]string{"cp1"},
			tenWorkers,
			"cp3", "roll control-planes has stopped: upgrade-control-plane cp2 did not succeed",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRolling()
			r.independent = test.independent
			broken := errors.New("broken")
			r.upgrade = func(_ context.Context, s *Step) error {
				if s.hostName() == test.fails {
					return broken
				}
				return nil
			}
			err := r.run.Do(t.Context(), r.workflow())
			if got := failures(t, err); len(got) != 1 || !errors.Is(err, broken) {
				t.Errorf("got %q, want the one failure on %s", got, test.fails)
			}
			if diff := cmp.Diff(test.control, r.turns("uncordon-control-plane")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.work, r.turns("uncordon-worker")); diff != "" {
				t.Error(diff)
			}
			// The host that failed stays drained; no later one was.
			drained := slices.Concat(r.turns("drain-control-plane"), r.turns("drain-worker"))
			if !slices.Contains(drained, test.fails) || slices.Contains(drained, test.skipped) {
				t.Errorf("drained: %v", drained)
			}
			reasons := map[string]bool{}
			for _, e := range r.events.Events() {
				if e.Host == test.skipped && e.Kind != report.PhaseUnchanged && e.Kind != report.PhaseStarted {
					reasons[string(e.Kind)+": "+e.Message] = true
				}
			}
			if diff := cmp.Diff(map[string]bool{"phase-skipped: " + test.reason: true}, reasons); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheTurnsOfABatchFinishAfterAFailureAmongThem(t *testing.T) {
	t.Parallel()
	r := newRolling()
	r.run.Batch = intstr.FromInt32(3)
	r.upgrade = func(_ context.Context, s *Step) error {
		if s.hostName() == "w2" {
			return errors.New("broken")
		}
		return nil
	}
	if err := r.run.Do(t.Context(), r.workflow()); err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff([]string{"w1", "w3"}, slices.Sorted(slices.Values(r.turns("uncordon-worker")))); diff != "" {
		t.Error(diff)
	}
}

func TestNoTurnStartsAfterCtrlC(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupt signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := newRolling()
	r.upgrade = func(ctx context.Context, s *Step) error {
		if s.hostName() != "w2" {
			return nil
		}
		cancel(interrupted)
		<-ctx.Done()
		r.write("cleaned-up w2")
		return ctx.Err()
	}
	err := r.run.Do(ctx, r.workflow())
	if err == nil || err.Error() != interrupted.Error() {
		t.Errorf("got %v, want only what the signal said", err)
	}
	want := []string{"drain-worker w2", "cleaned-up w2"}
	if got := r.lines[len(r.lines)-2:]; !slices.Equal(got, want) {
		t.Errorf("at the end %v, want %v", got, want)
	}
	for _, e := range r.events.Events() {
		if e.Host == "w2" && e.Phase == "upgrade-worker" && e.Kind == report.PhaseFailed || e.Host == "w3" && e.Kind == report.PhaseStarted && e.Phase != "facts" {
			t.Errorf("unexpected %+v", e)
		}
	}
}

func TestAHostOnWhichNothingIsDisruptiveIsNotDrained(t *testing.T) {
	t.Parallel()
	r := newRolling()
	var calls diary
	ask := func(_ context.Context, s *Step) (bool, error) {
		calls.write("%s", s.hostName())
		return slices.Contains([]string{"cp2", "w3"}, s.hostName()), nil
	}
	r.controlPlanes.Disruptive, r.workers.Disruptive = ask, ask
	r.mustRun(t)
	if diff := cmp.Diff(slices.Concat([]string{"cp1", "cp2", "cp3"}, tenWorkers), calls.lines); diff != "" {
		t.Errorf("Disruptive is called once for each host, at the start of its turn: %s", diff)
	}
	for _, phase := range []string{"drain-", "uncordon-"} {
		if diff := cmp.Diff([]string{"cp2", "w3"}, r.turns(phase)); diff != "" {
			t.Errorf("%s: %s", phase, diff)
		}
	}
	if diff := cmp.Diff(slices.Concat([]string{"cp1", "cp2", "cp3"}, tenWorkers), r.turns("upgrade-")); diff != "" {
		t.Error(diff)
	}
	if got := kinds(r.events); !slices.Contains(got, "w1 drain-worker phase-unchanged") {
		t.Errorf("a drain that is not necessary is not reported as unchanged: %v", got)
	}
}

func TestAFailureToFindOutWhatIsDisruptiveStopsTheRoll(t *testing.T) {
	t.Parallel()
	r := newRolling()
	unsure := errors.New("no answer")
	r.workers.Disruptive = func(_ context.Context, s *Step) (bool, error) {
		if s.hostName() == "w2" {
			return false, unsure
		}
		return true, nil
	}
	err := r.run.Do(t.Context(), r.workflow())
	if diff := cmp.Diff([]string{"drain-worker on w2: no answer"}, failures(t, err)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"w1"}, r.turns("drain-worker")); diff != "" {
		t.Error(diff)
	}
}

func TestOnlySelectedHostsHaveATurn(t *testing.T) {
	t.Parallel()
	r := newRolling()
	r.run.Selection.Hosts = []string{"w5", "cp2", "w2"}
	r.mustRun(t)
	if diff := cmp.Diff([]string{"cp2", "w2", "w5"}, r.turns("drain-")); diff != "" {
		t.Error(diff)
	}
}

func TestATurnWithoutItsFirstPhaseStillWaits(t *testing.T) {
	t.Parallel()
	r := newRolling()
	r.run.Selection.Skip = []string{"drain-worker"}
	r.upgrade = func(_ context.Context, s *Step) error {
		if s.hostName() == "w1" {
			return errors.New("broken")
		}
		return nil
	}
	if err := r.run.Do(t.Context(), r.workflow()); err == nil {
		t.Fatal("no error")
	}
	if got := r.turns("upgrade-worker"); got != nil {
		t.Errorf("upgraded after a failure: %v", got)
	}
}

func TestAPlanGoesThroughEveryTurn(t *testing.T) {
	t.Parallel()
	r := newRolling()
	r.run.Plan = true
	r.workers.Disruptive = func(_ context.Context, s *Step) (bool, error) {
		if s.hostName() == "w1" {
			return false, fmt.Errorf("kubelet is not installed: %w", host.ErrPlanned)
		}
		return false, nil
	}
	r.upgrade = func(_ context.Context, s *Step) error {
		s.Changed("upgrade %s", s.hostName())
		return nil
	}
	r.mustRun(t)
	// What depends on a recorded change is taken to be disruptive.
	if diff := cmp.Diff([]string{"w1"}, r.turns("drain-worker")); diff != "" {
		t.Error(diff)
	}
	changes := 0
	for _, e := range r.events.Events() {
		if e.Kind == report.Change {
			changes++
		}
		if e.Run != "plan" {
			t.Fatalf("an event of %q", e.Run)
		}
	}
	if changes != 13 {
		t.Errorf("%d changes, want one for each host", changes)
	}
}

func TestAnUnreachableHostStopsTheRoll(t *testing.T) {
	t.Parallel()
	r := newRolling()
	for _, h := range r.run.Hosts.All {
		if h.name() == "cp2" {
			h.SetUnreachable(fmt.Errorf("cp2: %w", host.ErrUnreachable))
		}
	}
	err := r.run.Do(t.Context(), r.workflow())
	if !errors.Is(err, host.ErrUnreachable) || err.Error() != "cp2: unreachable" {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"cp1"}, r.turns("uncordon-")); diff != "" {
		t.Error(diff)
	}
	for _, e := range r.events.Events() {
		if e.Host == "cp3" && e.Phase == "drain-control-plane" && e.Message != "roll control-planes has stopped: cp2 cannot be used: unreachable" {
			t.Errorf("skipped since %q", e.Message)
		}
	}
}

func TestRollsThatNeverFinishAreRefused(t *testing.T) {
	t.Parallel()
	roll := &Roll{Name: "workers"}
	a, b := nothing("a", Workers), nothing("b", Workers)
	a.Roll, b.Roll = roll, roll
	everywhere := b
	everywhere.NeedsAll = []string{"a"}
	between := nothing("between", Seed)
	between.NeedsAll = []string{"a"}
	local := nothing("local", Localhost)
	local.Roll = roll
	tests := []struct {
		name   string
		phases []Phase
		want   string
	}{
		{"a turn that needs all turns", []Phase{a, everywhere}, "workflow w: roll workers: a w2 needs a phase of a host whose turn comes later"},
		{
			"a turn that needs all turns through another phase",
			[]Phase{a, between, {Name: "b", On: Workers, Roll: roll, Needs: []string{"between"}}},
			"workflow w: roll workers: a w2 needs a phase of a host whose turn comes later",
		},
		{"a turn of localhost", []Phase{a, local}, "workflow w: phase local runs on localhost, which has no turn in roll workers"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := graphOf(hostsOf("cp", "w1", "w2"), Workflow{Name: "w", Phases: test.phases})
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/report"
)

// factsOf is the phase that finds out that some hosts are unreachable.
func factsOf(unreachable map[string]error) Phase {
	return Phase{Name: "facts", ReadOnly: true, Do: func(_ context.Context, s *Step) error {
		if err := unreachable[s.hostName()]; err != nil {
			s.Target.SetUnreachable(err)
		}
		return nil
	}}
}

func lost(name string) error { return fmt.Errorf("%s: connect: %w", name, host.ErrUnreachable) }

func TestPhasesOfAnUnreachableHostAreSkipped(t *testing.T) {
	t.Parallel()
	d := &diary{}
	compare := d.phase("compare", Localhost)
	compare.ReadOnly, compare.NeedsAll = true, []string{"observe"}
	observe := d.phase("observe", EachHost, "facts")
	observe.ReadOnly = true
	everywhere := d.phase("ready", Seed)
	everywhere.NeedsAll = []string{"change"}
	offline := d.phase("delete-node", EachHost, "change")
	offline.Offline = true
	r, events := runOf(hostsOf("cp", "w1", "w2"))
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{
		factsOf(map[string]error{"w1": lost("w1")}), observe, compare, d.phase("change", EachHost, "compare"), offline, everywhere,
	}})
	// The host is left out; nothing else is held up.
	want := []string{
		"change cp", "change w2", "compare ", "delete-node cp", "delete-node w1", "delete-node w2", "observe cp", "observe w2", "ready cp",
	}
	if diff := cmp.Diff(want, d.sorted()); diff != "" {
		t.Error(diff)
	}
	var leftOut *UnreachableError
	if !errors.Is(err, host.ErrUnreachable) || err.Error() != "w1: connect: unreachable" || !errors.As(err, &leftOut) {
		t.Errorf("got %v, want the host's error, once", err)
	}
	reasons := map[string]string{}
	for _, e := range events.Events() {
		switch e.Kind {
		case report.PhaseSkipped:
			reasons[strings.TrimSpace(e.Phase+" "+e.Host)] = e.Message
		case report.PhaseFailed:
			t.Errorf("%s failed on %s", e.Phase, e.Host)
		}
	}
	why := "w1 cannot be used: connect: unreachable"
	if diff := cmp.Diff(map[string]string{"facts w1": why, "observe w1": why, "change w1": why}, reasons); diff != "" {
		t.Error(diff)
	}
	last := events.Events()[len(events.Events())-1]
	if last.Kind != report.RunFinished || last.Error != err.Error() {
		t.Errorf("the last event is %+v", last)
	}
}

func TestARunFailsOnceForEachUnreachableHost(t *testing.T) {
	t.Parallel()
	w1, w2 := lost("w1"), fmt.Errorf("w2: %w", host.ErrAuth)
	tests := []struct {
		name     string
		selected []string
		refuse   error // what a phase says of it
		want     []string
	}{
		{"all of them", nil, nil, []string{"w1: connect: unreachable", "w2: authentication refused"}},
		{"but not for a host that the run does not read", []string{"cp", "w2"}, nil, []string{"w2: authentication refused"}},
		{
			"but not again for a host that a phase reports", nil, fmt.Errorf("refused: %w", w1),
			[]string{"check: refused: w1: connect: unreachable", "w2: authentication refused"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, _ := runOf(hostsOf("cp", "w1", "w2"))
			r.Selection.Hosts = test.selected
			err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{
				factsOf(map[string]error{"w1": w1, "w2": w2}),
				{Name: "check", On: Localhost, NeedsAll: []string{"facts"}, ReadOnly: true, Do: func(context.Context, *Step) error { return test.refuse }},
			}})
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
			if leftOut := (*UnreachableError)(nil); errors.As(err, &leftOut) != (test.refuse == nil) {
				t.Errorf("got %T", err)
			}
		})
	}
}

// A host that is no longer reachable after its facts were read fails as any
// other error does.
func TestAConnectionThatIsLostLaterIsAFailureOfThePhase(t *testing.T) {
	t.Parallel()
	r, events := runOf(hostsOf("cp", "w1"))
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{
		factsOf(nil),
		{Name: "change", Needs: []string{"facts"}, Do: func(_ context.Context, s *Step) error {
			if s.hostName() == "w1" {
				return lost("w1")
			}
			return nil
		}},
	}})
	if diff := cmp.Diff([]string{"change on w1: connect: unreachable"}, failures(t, err)); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(kinds(events), "w1 change phase-failed") {
		t.Error("the phase has not failed")
	}
}

//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The points of a run at which a moment can be.
const (
	started  = "started"
	finished = "finished"
	printed  = "printed"
)

// moment is when a run is killed: a delay after an event or, without an event, after
// the start of the process.
type moment struct {
	At    string `json:"at,omitempty"`
	Phase string `json:"phase,omitempty"`
	Host  string `json:"host,omitempty"`
	// Line is the beginning of a line that was printed.
	Line  string        `json:"line,omitempty"`
	Delay time.Duration `json:"delay,omitempty"`
}

func (m moment) String() string {
	where, after := m.Phase, ""
	if m.Host != "" {
		where += " on " + m.Host
	}
	if m.Delay > 0 {
		after = m.Delay.String() + " after "
	}
	switch m.At {
	case printed:
		return fmt.Sprintf("%s%s printed %q", after, where, m.Line)
	case "":
		return after + "the start of the run"
	default:
		return after + where + " " + m.At
	}
}

// matches reports whether the moment, without its delay, is at an event. The zero
// event is the start of the process.
func (m moment) matches(e event) bool {
	return momentOf(e) == (moment{At: m.At, Phase: m.Phase, Host: m.Host, Line: m.Line})
}

// momentOf returns the moment at an event. It has no point for events that are no
// boundary of a phase and no stage of kubeadm.
func momentOf(e event) moment {
	m := moment{Phase: e.Phase, Host: e.Host}
	switch {
	case e.Kind == "phase-started":
		m.At = started
	case e.Kind == "phase-changed" || e.Kind == "phase-unchanged" || e.Kind == "phase-skipped":
		m.At = finished
	case e.Kind == "output" && strings.HasPrefix(e.Message, "["):
		// The end of a line may differ from run to run.
		m.At, m.Line = printed, e.Message[:min(len(e.Message), 48)]
	case e.Kind != "":
		m.At = "other"
	}
	return m
}

// timeline is what a complete run shows: the boundaries of its phases, the stages of
// kubeadm, and its duration.
type timeline struct {
	Boundaries []moment      `json:"boundaries"`
	Lines      []moment      `json:"lines"`
	Took       time.Duration `json:"took"`
}

func timelineOf(all []event, took time.Duration) timeline {
	line := timeline{Took: took}
	for _, e := range all {
		m := momentOf(e)
		switch {
		case m.Phase == "":
		case m.At == started || m.At == finished:
			line.Boundaries = append(line.Boundaries, m)
		case m.At == printed && !slices.Contains(line.Lines, m):
			line.Lines = append(line.Lines, m)
		}
	}
	return line
}

// The kills of a round.
type kills struct {
	// Apply is the moment of the kill of an install.
	Apply moment `json:"apply"`
	// Repair is the moment of a second kill, of the apply that repairs; nil for none.
	Repair *moment `json:"repair,omitempty"`
	// Reset is the moment of a kill of the reset at the end; nil for none.
	Reset *moment `json:"reset,omitempty"`
	// ApplyAfterReset: the run after the killed reset is an apply.
	ApplyAfterReset bool `json:"applyAfterReset,omitempty"`
}

// resetTook is about the duration of a reset.
const resetTook = 10 * time.Second

// kills returns the kills of a round. They depend on the seed and the round only.
// Each pass over the boundaries has another order; a boundary comes in every second
// round, a stage of kubeadm and a random time in every fourth one.
func (l timeline) kills(seed uint64, round int) kills {
	random := rand.New(rand.NewPCG(seed, uint64(round)))
	within := func(d time.Duration) time.Duration {
		return time.Duration(random.Int64N(int64(d))).Truncate(time.Millisecond)
	}
	var k kills
	switch {
	case round%2 == 0 && len(l.Boundaries) > 0:
		k.Apply = dealt(l.Boundaries, seed, round/2)
	case round%4 == 1 && len(l.Lines) > 0:
		k.Apply = dealt(l.Lines, seed, round/4)
		k.Apply.Delay = within(time.Second)
	default:
		k.Apply.Delay = within(l.Took)
	}
	if round%3 == 2 {
		k.Repair = &moment{Delay: within(l.Took)}
	}
	if round%5 == 3 {
		k.Reset = &moment{Delay: within(resetTook)}
		k.ApplyAfterReset = round%10 == 8
	}
	return k
}

// dealt returns the n-th moment of passes over all of them, each in an order of its
// own.
func dealt(all []moment, seed uint64, n int) moment {
	order := rand.New(rand.NewPCG(seed, uint64(n/len(all))<<32)).Perm(len(all))
	return all[order[n%len(all)]]
}

func (k kills) String() string {
	text := "apply killed " + k.Apply.String()
	if k.Repair != nil {
		text += "; the repair killed " + k.Repair.String()
	}
	if k.Reset != nil {
		text += "; reset killed " + k.Reset.String()
	}
	if k.ApplyAfterReset {
		text += ", then apply"
	}
	return text
}

func TestMomentsOfARun(t *testing.T) {
	all := []event{
		{Kind: "run-started"},
		{Kind: "phase-started", Phase: "kernel", Host: "w1"},
		{Kind: "change", Phase: "kernel", Host: "w1", Message: "write a file"},
		{Kind: "phase-changed", Phase: "kernel", Host: "w1"},
		{Kind: "output", Phase: "join", Host: "w1", Message: "[preflight] Running pre-flight checks"},
		{Kind: "output", Phase: "join", Host: "w1", Message: "[preflight] Running pre-flight checks"},
		{Kind: "output", Phase: "join", Host: "w1", Message: "\tdetails"},
		{Kind: "run-finished"},
	}
	got := timelineOf(all, time.Minute)
	want := timeline{
		Boundaries: []moment{{At: started, Phase: "kernel", Host: "w1"}, {At: finished, Phase: "kernel", Host: "w1"}},
		Lines:      []moment{{At: printed, Phase: "join", Host: "w1", Line: "[preflight] Running pre-flight checks"}},
		Took:       time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, m := range append(slices.Clone(got.Boundaries), got.Lines...) {
		m.Delay = time.Second
		if !slices.ContainsFunc(all, m.matches) || m.matches(event{}) {
			t.Errorf("the moment %s is at none of the events", m)
		}
	}
	if m := (moment{Delay: time.Second}); !m.matches(event{}) || slices.ContainsFunc(all, m.matches) {
		t.Errorf("the moment %s is not at the start", m)
	}
}

func TestEachBoundaryComesOnceInAPass(t *testing.T) {
	var line timeline
	for i := range 30 {
		line.Boundaries = append(line.Boundaries, moment{At: started, Phase: fmt.Sprint("phase-", i)})
	}
	line.Took = time.Minute
	seen := map[string]int{}
	var orders [2]string
	for round := 0; round < 4*len(line.Boundaries); round += 2 {
		k := line.kills(7, round)
		seen[k.Apply.String()]++
		orders[round/(2*len(line.Boundaries))] += k.Apply.Phase + " "
		if diff := cmp.Diff(k, line.kills(7, round)); diff != "" {
			t.Errorf("round %d differs in a second run: %s", round, diff)
		}
	}
	for _, m := range line.Boundaries {
		if seen[m.String()] != 2 {
			t.Errorf("%s comes %d times in two passes", m, seen[m.String()])
		}
	}
	if orders[0] == orders[1] {
		t.Error("both passes have the same order")
	}
}

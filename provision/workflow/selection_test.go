package workflow

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		selection Selection
		want      []string
	}{
		{"without one, all of it", Selection{}, []string{"a cp", "a w", "b cp", "b w", "bundle ", "c w", "facts cp", "facts w", "lock cp", "lock w"}},
		{"skipped phases", Selection{Skip: []string{"a", "c"}}, []string{"b cp", "b w", "bundle ", "facts cp", "facts w", "lock cp", "lock w"}},
		{"only some phases", Selection{Only: []string{"b"}}, []string{"b cp", "b w", "bundle ", "facts cp", "facts w", "lock cp", "lock w"}},
		{"from a phase on", Selection{From: "b"}, []string{"b cp", "b w", "bundle ", "c w", "facts cp", "facts w", "lock cp", "lock w"}},
		{"until a phase", Selection{Until: "a"}, []string{"a cp", "a w", "bundle ", "facts cp", "facts w", "lock cp", "lock w"}},
		{"from one until another", Selection{From: "a", Until: "a"}, []string{"a cp", "a w", "bundle ", "facts cp", "facts w", "lock cp", "lock w"}},
		{"some hosts: the others are looked at, and not locked", Selection{Hosts: []string{"w"}}, []string{"a w", "b w", "bundle ", "c w", "facts cp", "facts w", "lock w"}},
		{"a phase on some hosts", Selection{Only: []string{"a"}, Hosts: []string{"cp"}}, []string{"a cp", "bundle ", "facts cp", "facts w", "lock cp"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &diary{}
			facts, bundle := d.phase("facts", EachHost), d.phase("bundle", Localhost)
			facts.ReadOnly, bundle.ReadOnly = true, true
			lock := d.phase("lock", EachHost, "facts")
			lock.Always = true
			r, _ := runOf(hostsOf("cp", "w"))
			r.Selection = test.selection
			do(t, r, facts, bundle, lock, d.phase("a", EachHost, "lock"), d.phase("b", EachHost, "a"), d.phase("c", Workers, "b"))
			if diff := cmp.Diff(test.want, d.sorted()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASelectionIsToldAllItsMistakesAtOnce(t *testing.T) {
	t.Parallel()
	look := nothing("facts", EachHost)
	look.ReadOnly = true
	lock := nothing("lock", EachHost)
	lock.Always = true
	r, events := runOf(hostsOf("cp", "w"))
	r.Selection = Selection{
		Skip: []string{"facts", "lock", "x"}, Only: []string{"y"}, From: "f", Until: "u", Hosts: []string{"w", "z"},
	}
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{look, lock, nothing("a", EachHost)}})
	var told *SelectionError
	if !errors.As(err, &told) {
		t.Fatalf("got %v, want a *SelectionError", err)
	}
	want := []string{
		`no phase "x"; there are facts, lock, a`,
		`no phase "y"; there are facts, lock, a`,
		`no phase "f"; there are facts, lock, a`,
		`no phase "u"; there are facts, lock, a`,
		`no host "z"; there are cp, w`,
		`phase "facts" cannot be skipped: others build on it`,
		`phase "lock" cannot be skipped: others build on it`,
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(told.Problems))); diff != "" {
		t.Error(diff)
	}
	if got := events.Events(); len(got) > 0 {
		t.Errorf("the run has begun all the same: %v", got)
	}
}

package workflow

import (
	"fmt"
	"slices"
	"strings"
)

// Selection is the part of a workflow that a run does. The zero value is all
// of it. What is left out counts as done.
type Selection struct {
	// Skip names phases to leave out, Only (if not empty) those to do.
	Skip, Only []string
	// From and Until name the first and the last phase, in the order of the
	// workflow.
	From, Until string
	// Hosts names the hosts (if not empty) to work on.
	Hosts []string
}

// check reports every name in the selection that does not exist.
func (s Selection) check(w Workflow, hosts []string) error {
	var problems []string
	var phases []string
	for _, p := range w.Phases {
		phases = append(phases, p.Name)
	}
	named := slices.Concat(s.Skip, s.Only)
	for _, name := range []string{s.From, s.Until} {
		if name != "" {
			named = append(named, name)
		}
	}
	for _, name := range named {
		if !slices.Contains(phases, name) {
			problems = append(problems, fmt.Sprintf("no phase %q; there are %s", name, strings.Join(phases, ", ")))
		}
	}
	for _, name := range s.Hosts {
		if !slices.Contains(hosts, name) {
			problems = append(problems, fmt.Sprintf("no host %q; there are %s", name, strings.Join(hosts, ", ")))
		}
	}
	for _, name := range s.Skip {
		if p, ok := w.Phase(name); ok && (p.ReadOnly || p.Always) {
			problems = append(problems, fmt.Sprintf("phase %q cannot be skipped: others build on it", name))
		}
	}
	if len(problems) > 0 {
		return &SelectionError{Problems: problems}
	}
	return nil
}

// SelectionError says what a selection names that does not exist.
type SelectionError struct{ Problems []string }

func (e *SelectionError) Error() string { return strings.Join(e.Problems, "\n") }

// phase says whether the i-th phase of the workflow is selected.
func (s Selection) phase(w Workflow, i int) bool {
	name := w.Phases[i].Name
	if w.Phases[i].ReadOnly || w.Phases[i].Always {
		return true
	}
	index := func(of string) int {
		return slices.IndexFunc(w.Phases, func(p Phase) bool { return p.Name == of })
	}
	switch {
	case slices.Contains(s.Skip, name):
		return false
	case len(s.Only) > 0 && !slices.Contains(s.Only, name):
		return false
	case s.From != "" && i < index(s.From):
		return false
	case s.Until != "" && i > index(s.Until):
		return false
	}
	return true
}

// host says whether a phase is selected on that host. Read-only phases look at
// all of them: what is known of the others matters for one, too.
func (s Selection) host(p Phase, name string) bool {
	return len(s.Hosts) == 0 || p.ReadOnly || p.On == Localhost || slices.Contains(s.Hosts, name)
}

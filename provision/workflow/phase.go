// Package workflow runs phases on machines: it builds the graph of (phase,
// host) and starts each of its nodes as soon as what that node needs is done.
// There is no barrier that a phase did not ask for.
package workflow

import (
	"context"
	"errors"

	"slipway.io/slipway/provision/config"
)

// Phase is a named step of a workflow.
type Phase struct {
	// Name is what flags and the journal call it: kebab-case, unique.
	Name string
	// Title is a short line for people: what the phase does.
	Title string
	// Why is a sentence or two: what goes wrong without it.
	Why string
	// Manual are the commands with which a person would do it on the machine,
	// one an element; what stands in CAPITALS is to be filled in.
	Manual []string
	// On says where it runs.
	On Place
	// Needs names the phases that must be done before, on the same host; or
	// wherever they run, if they run only once.
	Needs []string
	// NeedsAll names the phases that must be done before on every host.
	NeedsAll []string
	// ReadOnly phases look and change nothing. They take part in every run,
	// whatever is selected, and in plans.
	ReadOnly bool
	// Always: it takes part whichever phases are selected, on the hosts that
	// are. For the lock, without which no part of a workflow may run.
	Always bool
	// Enabled says whether the inventory asks for it: a phase that is not wanted
	// takes no part, and counts as done. Nil: every cluster needs it.
	Enabled func(*config.Cluster) bool
	// Bulk phases send much over what all machines share: the installer's
	// uplink, and in a lab the processor. The first control plane, for which all
	// others wait in the end, comes first: the other machines run theirs when
	// such phases of it are over, while it is initialised.
	Bulk bool
	// Done probes whether there is nothing to do. Nil: Do finds out by itself,
	// since all it does is idempotent.
	Done func(context.Context, *Step) (bool, error)
	// Do does it. What it changes is counted by what passes through the Step.
	Do func(context.Context, *Step) error
}

// Place says on which hosts a phase runs.
type Place int

// The places.
const (
	// EachHost: on every host of the inventory.
	EachHost Place = iota
	// FirstControlPlane: once, on the control plane that the inventory names
	// first. What is done through the API server is done here.
	FirstControlPlane
	// Workers: on every host that is not a control plane.
	Workers
	// Localhost: once, on no machine.
	Localhost
)

// String is the place as the docs and `phase list` show it.
func (p Place) String() string {
	switch p {
	case FirstControlPlane:
		return "first control plane"
	case Workers:
		return "each worker"
	case Localhost:
		return "installer"
	default:
		return "each host"
	}
}

// once says whether there is one node for the phase and not one a host.
func (p Place) once() bool { return p == FirstControlPlane || p == Localhost }

// Workflow is an ordered list of phases; a phase stands after all it needs.
type Workflow struct {
	// Name is apply, reset, …
	Name   string
	Phases []Phase
}

// Phase returns the phase of that name.
func (w Workflow) Phase(name string) (Phase, bool) {
	for _, p := range w.Phases {
		if p.Name == name {
			return p, true
		}
	}
	return Phase{}, false
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// WithHint adds to an error what the reader should do next.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// Hint is what WithHint added, the innermost; empty if nothing was.
func Hint(err error) string {
	hint := ""
	for {
		var h hinted
		if !errors.As(err, &h) {
			return hint
		}
		hint, err = h.hint, h.error
	}
}

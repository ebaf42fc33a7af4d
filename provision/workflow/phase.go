// Package workflow runs phases on hosts. It builds a graph of tasks, each one
// phase on one host, and starts a task as soon as the tasks that it needs are
// done. Only a phase with NeedsAll waits for all hosts.
package workflow

import (
	"context"

	"slipway.io/slipway/provision/config"
)

// Phase is a named step of a workflow. Its fields say where and when it runs,
// and what it does; the runner, `slipway phase list`, `slipway explain` and
// docs/phases.md all read them from here.
type Phase struct {
	// Name identifies the phase in flags, events and the journal. It is in
	// kebab-case and unique in its workflow.
	Name string
	// Title says in one short line what the phase does: "turn swap off for good".
	Title string
	// Why says in a sentence or two what goes wrong without the phase.
	Why string
	// Manual lists the commands with which a person does the same by hand, one
	// per element. Words in CAPITALS are placeholders.
	Manual []string

	// On selects the hosts on which the phase runs. The zero value is EachHost.
	On Place
	// Needs names earlier phases that must succeed first: on the same host, or
	// wherever the needed phase runs if it runs in one place only. A need that
	// does not run on this host, as a phase of workers on a control plane, is met.
	Needs []string
	// NeedsAll names earlier phases that must succeed first on every host on
	// which they run, but for unreachable hosts. It is a barrier: use it only if
	// the phase depends on all of them.
	NeedsAll []string
	// OneAtATime makes the hosts that have something to do run Do one after another, in
	// the order in which they arrive: a host waits for the one that is at it, not for
	// those that are not ready yet. Done, and the phases before, do not wait. Do may let
	// the next one in before its end: see Step.NextHost.
	OneAtATime bool
	// Roll makes hosts take turns: the phases with the same Roll run on one batch
	// of hosts after another. Nil: hosts do not wait for each other.
	Roll *Roll
	// OnDisruption restricts a phase with a Roll to hosts on which the roll is
	// disruptive. Set it for phases such as drain and uncordon.
	OnDisruption bool

	// ReadOnly marks a phase that changes nothing. Flags cannot leave it out: it
	// runs on every host that the run reads (see Selection), and in a plan.
	ReadOnly bool
	// Always marks a phase that flags cannot leave out, although it changes
	// something. It works on the selected hosts, also where it runs on localhost,
	// and so gives no reason to read others. The lock is one.
	Always bool
	// Offline marks a phase that does not connect to its host, such as one that
	// deletes the Node of a host that is lost. It runs for unreachable hosts too,
	// and does not wait there for the phases that could not run.
	Offline bool
	// Bulk marks a phase that sends much data. Other hosts start it when the seed
	// has finished its own, except those that run etcd: they share localhost's uplink, and in the end all of
	// them wait for the seed.
	Bulk bool

	// Enabled reports whether the inventory asks for the phase. A phase that is
	// not enabled counts as done. Nil: every cluster needs it.
	Enabled func(*config.Cluster) bool
	// Done probes whether there is nothing to do, also in a plan. Nil: Do is
	// idempotent and finds out by itself.
	Done func(context.Context, *Step) (bool, error)
	// Creates lists the files, by their paths, and the directories with all that is
	// in them, by their paths with a slash at the end, that programs create on the
	// host when the phase has something to do, and that other phases read. Until
	// they exist, a plan reports those phases as a whole.
	Creates []string
	// Do does the work. It changes hosts and the cluster through the Step only,
	// which counts each change and in a plan records it instead.
	Do func(context.Context, *Step) error
}

// Workflow is an ordered list of phases. Each phase stands after those that it
// needs.
type Workflow struct {
	// Name is the name of the command: apply, reset, …
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

// Package report turns what happens in a run into what people and programs
// see: a live view or lines on a terminal, JSON lines, a log file, and an HTML
// page with the timeline.
package report

import "time"

// Kind says what happened.
type Kind string

// The kinds of event, in the order in which a run has them.
const (
	// RunStarted and RunFinished frame a run. RunFinished carries the counts
	// and, if the run failed, the error.
	RunStarted  Kind = "run-started"
	RunFinished Kind = "run-finished"
	// PhaseStarted, and one of the four others, frame a phase on a host.
	// PhaseUnchanged: probing showed that there was nothing to do.
	// PhaseSkipped: left out, by a flag or since what it needs failed.
	PhaseStarted   Kind = "phase-started"
	PhaseChanged   Kind = "phase-changed"
	PhaseUnchanged Kind = "phase-unchanged"
	PhaseSkipped   Kind = "phase-skipped"
	PhaseFailed    Kind = "phase-failed"
	// Change is one change made on a host or, in a plan, one that would be.
	Change Kind = "change"
	// Waiting is the last observation of something that is waited for.
	Waiting Kind = "waiting"
	// Output is a line that a long step printed on the host.
	Output Kind = "output"
	// Note is for people: a warning, a hint, the next step.
	Note Kind = "note"
	// Deferred is a difference between the inventory and the cluster that the run
	// does not change.
	Deferred Kind = "deferred"
)

// Event is one thing that happened. Its JSON form is what `-o json` prints, a
// line each.
type Event struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Run names the workflow: apply, plan, reset, …
	Run string `json:"run"`
	// Cluster is the cluster's name: metadata.name of the inventory.
	Cluster string `json:"cluster,omitempty"`
	// Host and Phase are empty for events of the whole run. A phase that runs
	// once names the host it runs on.
	Host  string `json:"host,omitempty"`
	Phase string `json:"phase,omitempty"`
	// Message is one line: the phase's title, the change, the observation.
	Message string `json:"message,omitempty"`
	// Diff is what a planned change changes: lines such as "mode 0644 → 0600", and
	// the hunks of a unified diff of a file or of an object of the cluster, as YAML.
	// Secrets are replaced.
	Diff string `json:"diff,omitempty"`
	// Changes counts what a phase or the run changed.
	Changes int `json:"changes,omitempty"`
	// Seconds is how long the phase or the run took.
	Seconds float64 `json:"seconds,omitempty"`
	// Error is set for PhaseFailed and a RunFinished that failed.
	Error string `json:"error,omitempty"`
	// Command is the command that failed, if one did, secrets replaced.
	Command string `json:"command,omitempty"`
	// Output holds the last lines that the failed command printed.
	Output string `json:"output,omitempty"`
	// Hint is what to do next about the error.
	Hint string `json:"hint,omitempty"`
}

// Sink receives events. It is called from many goroutines and must not block
// for long.
type Sink interface {
	Event(Event)
}

// SinkFunc is a function as a Sink.
type SinkFunc func(Event)

// Event calls the function.
func (f SinkFunc) Event(e Event) { f(e) }

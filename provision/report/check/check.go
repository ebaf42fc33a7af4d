// Package check has the types of preflight's results: a named check, its
// findings, and the report of all checks. Package phases/preflight defines the
// checks; package report prints the report.
package check

import (
	"cmp"
	"slices"
	"time"

	"slipway.io/slipway/provision/probe/netprobe"
)

// Kind says what a check compares.
type Kind string

// The kinds.
const (
	// Host: each host by itself.
	Host Kind = "host"
	// AllHosts: all hosts against each other, or against the inventory.
	AllHosts Kind = "hosts"
	// Pair: each ordered pair of hosts, by real packets.
	Pair Kind = "pair"
	// Local: localhost (`slipway preflight --local`).
	Local Kind = "local"
)

// Severity of a finding.
type Severity string

// The severities, the worst first. An error stops an apply. Unknown: the check
// could not run. A warning needs a decision. slipway handles an info itself.
const (
	Error   Severity = "error"
	Unknown Severity = "unknown"
	Warning Severity = "warning"
	Info    Severity = "info"
	// OK is the severity of a result without findings.
	OK Severity = "ok"
	// Skipped: excluded by --skip-checks or --only, or not applicable to the
	// cluster.
	Skipped Severity = "skipped"
)

// order is from worst to best.
var order = []Severity{Error, Unknown, Warning, Info, OK, Skipped}

// Worse compares two severities: negative if a is worse than b.
func Worse(a, b Severity) int { return cmp.Compare(slices.Index(order, a), slices.Index(order, b)) }

// Description describes a check.
type Description struct {
	// Name is kebab-case and unique; where the field has a name for the
	// failure, that.
	Name string `json:"name"`
	// Title is the question in a few words.
	Title string `json:"title"`
	Kind  Kind   `json:"kind"`
	// Severity is the worst that the check gives.
	Severity Severity `json:"severity"`
	// Examines describes what it examines, Why what fails otherwise; sentences.
	Examines string `json:"examines"`
	Why      string `json:"why"`
	// Manual are commands that check the host by hand, and fix it.
	Manual []string `json:"manual"`
	// Docs is the anchor in the documentation: docs/preflight.md#NAME.
	Docs string `json:"docs"`
}

// Finding is a fault that a check found.
type Finding struct {
	// Check is the check's name.
	Check string `json:"check"`
	// Host is where; empty if it concerns several. Peer is the other end for a
	// check between hosts.
	Host     string   `json:"host,omitempty"`
	Peer     string   `json:"peer,omitempty"`
	Severity Severity `json:"severity"`
	// Evidence is the fault; Fix the remedy, a command or a line
	// of the inventory.
	Evidence string `json:"evidence"`
	Fix      string `json:"fix"`
	// Ignored is the inventory's reason to ignore it; empty if it is not ignored.
	Ignored string `json:"ignored,omitempty"`
}

// HostUnreadable is the evidence of a check on a host that could not be read; a
// check of the connection says why.
const HostUnreadable = "the host could not be read"

// Result is the result of one check.
type Result struct {
	Description
	// Status is the worst of its findings that are not ignored; OK or Skipped
	// if there is none.
	Status Severity `json:"status"`
	// Reason says why it was skipped.
	Reason   string    `json:"reason,omitempty"`
	Findings []Finding `json:"findings"`
}

// Add adds a finding, of the check's own severity if it has none, and counts
// it in the status unless it is ignored.
func (r *Result) Add(f Finding) {
	f.Check = r.Name
	if f.Severity == "" {
		f.Severity = r.Severity
	}
	r.Findings = append(r.Findings, f)
	if f.Ignored == "" && Worse(f.Severity, r.Status) < 0 {
		r.Status = f.Severity
	}
}

// Report is the results of all checks.
type Report struct {
	// Cluster is the inventory's name for it; empty for --local.
	Cluster string `json:"cluster,omitempty"`
	// Hosts are the names in the inventory's order.
	Hosts  []string `json:"hosts"`
	Checks []Result `json:"checks"`
	// Matrix is what was measured between the hosts; nil if nothing was.
	Matrix *netprobe.Matrix `json:"matrix,omitempty"`
	// Started is when, Seconds how long it took.
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

// Status is the worst status of all checks.
func (r *Report) Status() Severity {
	worst := OK
	for _, c := range r.Checks {
		if c.Status != Skipped && Worse(c.Status, worst) < 0 {
			worst = c.Status
		}
	}
	return worst
}

// Count is the number of checks of a status.
func (r *Report) Count(s Severity) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// Findings are those of all checks, of one severity, that are not ignored.
func (r *Report) Findings(s Severity) []Finding {
	var all []Finding
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			if f.Severity == s && f.Ignored == "" {
				all = append(all, f)
			}
		}
	}
	return all
}

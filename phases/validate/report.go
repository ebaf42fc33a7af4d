package validate

import (
	"fmt"
	"time"
)

// Status is how a probe ended.
type Status string

// The statuses.
const (
	Passed Status = "passed"
	Failed Status = "failed"
	// Skipped: not asked for, does not apply, or what it needs has failed
	// (which is a failed probe of its own).
	Skipped Status = "skipped"
)

// Probe is one question to the cluster and its answer.
type Probe struct {
	// Name is what --only and --skip take, such as "pod-to-pod"; there is one
	// Probe of that name for each target.
	Name string `json:"name"`
	// Title says what is proved.
	Title string `json:"title"`
	// Target is a node, a pair of nodes ("a -> b") or a workload; empty for
	// the whole cluster.
	Target string `json:"target,omitempty"`
	Status Status `json:"status"`
	// Evidence is what was seen, or why the probe was skipped.
	Evidence string `json:"evidence,omitempty"`
	// Error is the last one of a failed probe.
	Error string `json:"error,omitempty"`
	// DurationMS is in milliseconds, retries included.
	DurationMS int64 `json:"durationMs"`
}

// Seen is what a table shows of the probe: its evidence, or the error that
// stands in for it.
func (p Probe) Seen() string {
	if p.Error != "" {
		return p.Error
	}
	return p.Evidence
}

// Took is how long the probe took, retries included.
func (p Probe) Took() time.Duration { return time.Duration(p.DurationMS) * time.Millisecond }

// Report is the outcome of a validation.
type Report struct {
	// OK: no probe failed, and one at least passed.
	OK bool `json:"ok"`
	// Cluster is the inventory's name for it.
	Cluster string `json:"cluster,omitempty"`
	// Passed, Failed and Skipped count the probes.
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	// DurationMS is in milliseconds.
	DurationMS int64 `json:"durationMs"`
	// Probes are in the order of Names, then of the inventory.
	Probes []Probe `json:"probes"`
	// Leftover says that, and why, the test namespace could not be deleted.
	// The next validation removes it once it is 15 minutes old.
	Leftover string `json:"leftover,omitempty"`
}

// Duration is how long the validation took.
func (r *Report) Duration() time.Duration { return time.Duration(r.DurationMS) * time.Millisecond }

// Columns are the headings of Rows.
func Columns() []string { return []string{"PROBE", "TARGET", "STATUS", "TIME", "EVIDENCE"} }

// Rows are the probes as a table for people. The error of a failed probe
// stands in for its evidence.
func (r *Report) Rows() [][]string {
	rows := make([][]string, 0, len(r.Probes))
	for _, p := range r.Probes {
		rows = append(rows, []string{p.Name, p.Target, string(p.Status), p.Took().String(), p.Seen()})
	}
	return rows
}

// Failures are the failed probes, a line each, for an error's text.
func (r *Report) Failures() []string {
	var lines []string
	for _, p := range r.Probes {
		if p.Status != Failed {
			continue
		}
		name := p.Name
		if p.Target != "" {
			name += " " + p.Target
		}
		lines = append(lines, fmt.Sprintf("%s: %s", name, p.Error))
	}
	return lines
}

// count sums the probes up.
func (r *Report) count() {
	for _, p := range r.Probes {
		switch p.Status {
		case Passed:
			r.Passed++
		case Failed:
			r.Failed++
		case Skipped:
			r.Skipped++
		}
	}
	r.OK = r.Failed == 0 && r.Passed > 0
}

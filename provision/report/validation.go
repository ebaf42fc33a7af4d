package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed validation.html.tmpl
var validationPage string

// ProbeStatus is how a probe of the cluster ended.
type ProbeStatus string

// The statuses of probes.
const (
	ProbePassed ProbeStatus = "passed"
	ProbeFailed ProbeStatus = "failed"
	// ProbeDegraded: the cluster works, but has lost redundancy, such as a host that
	// is off. It is no failure.
	ProbeDegraded ProbeStatus = "degraded"
	// ProbeSkipped: not selected, does not apply, or what it needs has failed
	// (which is a failed probe of its own).
	ProbeSkipped ProbeStatus = "skipped"
)

// ProbeResult is the outcome of one probe for one target.
type ProbeResult struct {
	// Name is what --only and --skip take, such as "pod-to-pod"; there is one
	// result of that name for each target.
	Name string `json:"name"`
	// Title says what the probe validates.
	Title string `json:"title"`
	// Target is a node, a pair of nodes ("a -> b") or a workload; empty for
	// the whole cluster.
	Target string      `json:"target,omitempty"`
	Status ProbeStatus `json:"status"`
	// Evidence is what the probe observed, what is degraded, or why it was skipped.
	Evidence string `json:"evidence,omitempty"`
	// Error says why the probe failed: the last error of its retries.
	Error string `json:"error,omitempty"`
	// DurationMS is in milliseconds, retries included.
	DurationMS int64 `json:"durationMs"`
}

// Detail is the error of a failed probe, and the evidence of any other.
func (p ProbeResult) Detail() string {
	if p.Status == ProbeFailed {
		return p.Error
	}
	return p.Evidence
}

// Duration is how long the probe took, retries included.
func (p ProbeResult) Duration() time.Duration { return time.Duration(p.DurationMS) * time.Millisecond }

// ValidationReport is the outcome of a validation.
type ValidationReport struct {
	// OK: no probe failed, and at least one has run. A cluster that is degraded is OK.
	OK bool `json:"ok"`
	// Cluster is the name of the cluster in the inventory.
	Cluster string `json:"cluster,omitempty"`
	// Passed, Failed, Degraded and Skipped count the probes.
	Passed   int `json:"passed"`
	Failed   int `json:"failed"`
	Degraded int `json:"degraded"`
	Skipped  int `json:"skipped"`
	// DurationMS is in milliseconds.
	DurationMS int64 `json:"durationMs"`
	// Probes are in the order in which the validation lists them, then in that
	// of the inventory.
	Probes []ProbeResult `json:"probes"`
	// Leftover says why the test namespace could not be deleted; empty if it
	// was.
	Leftover string `json:"leftover,omitempty"`
	// Started is when the validation began.
	Started time.Time `json:"-"`
}

// Duration is how long the validation took.
func (r *ValidationReport) Duration() time.Duration {
	return time.Duration(r.DurationMS) * time.Millisecond
}

// Add appends the results of a probe, and counts them.
func (r *ValidationReport) Add(results ...ProbeResult) {
	r.Probes = append(r.Probes, results...)
	for _, p := range results {
		switch p.Status {
		case ProbePassed:
			r.Passed++
		case ProbeFailed:
			r.Failed++
		case ProbeDegraded:
			r.Degraded++
		case ProbeSkipped:
			r.Skipped++
		}
	}
	r.OK = r.Failed == 0 && r.Passed+r.Degraded > 0
}

// Status is that of the whole validation.
func (r *ValidationReport) Status() ProbeStatus {
	switch {
	case !r.OK:
		return ProbeFailed
	case r.Degraded > 0:
		return ProbeDegraded
	default:
		return ProbePassed
	}
}

// Failures are the failed probes, a line each.
func (r *ValidationReport) Failures() []string { return r.lines(ProbeFailed) }

// Degradations say what is degraded, a line each.
func (r *ValidationReport) Degradations() []string { return r.lines(ProbeDegraded) }

func (r *ValidationReport) lines(status ProbeStatus) []string {
	var lines []string
	for _, p := range r.Probes {
		if p.Status != status {
			continue
		}
		name := p.Name
		if p.Target != "" {
			name += " " + p.Target
		}
		lines = append(lines, name+": "+p.Detail())
	}
	return lines
}

// Counts are the numbers of probes: "5 passed, 0 failed, 1 skipped". Degraded ones
// are named only if there are any.
func (r *ValidationReport) Counts() string {
	degraded := ""
	if r.Degraded > 0 {
		degraded = fmt.Sprintf("%d degraded, ", r.Degraded)
	}
	return fmt.Sprintf("%d passed, %d failed, %s%d skipped", r.Passed, r.Failed, degraded, r.Skipped)
}

// Validation writes the report as a table.
func Validation(w io.Writer, r *ValidationReport) error {
	statuses := map[ProbeStatus]Status{ProbePassed: StatusOK, ProbeFailed: StatusFailed, ProbeDegraded: StatusDegraded, ProbeSkipped: StatusSkipped}
	var rows []Row
	for _, p := range r.Probes {
		rows = append(rows, Row{Status: statuses[p.Status], Cells: []string{p.Name, p.Target, p.Duration().String(), p.Detail()}})
	}
	if err := Table(w, []string{"PROBE", "TARGET", "TIME", "EVIDENCE"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s in %s\n", r.Counts(), r.Duration().Round(100*time.Millisecond))
	return err
}

// ValidationHTML writes the report as a page that loads nothing.
func ValidationHTML(w io.Writer, r *ValidationReport) error {
	page, err := template.New("validation").Parse(validationPage)
	if err != nil {
		return fmt.Errorf("parse the template of the validation report: %w", err)
	}
	if err := page.Execute(w, r); err != nil {
		return fmt.Errorf("write the validation report: %w", err)
	}
	return nil
}

// ValidationJUnit writes the report as JUnit XML: a suite for each probe, a
// case for each target.
func ValidationJUnit(w io.Writer, r *ValidationReport) error {
	all := junitSuites{Name: "slipway validate", Time: fmt.Sprintf("%.3f", r.Duration().Seconds())}
	for _, p := range r.Probes {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != p.Name {
			all.Suites = append(all.Suites, junitSuite{Name: p.Name})
		}
		all.Suites[len(all.Suites)-1].addProbe(p)
	}
	return all.write(w)
}

func (s *junitSuite) addProbe(p ProbeResult) {
	test := junitCase{Name: p.Target, ClassName: "slipway.validate." + p.Name}
	if test.Name == "" {
		test.Name = p.Name
	}
	detail := clean(p.Detail())
	s.Tests++
	switch p.Status {
	case ProbeFailed:
		test.Failure = &junitWhy{Message: clean(p.Title), Text: detail}
		s.Failures++
	case ProbeSkipped:
		test.Skipped = &junitWhy{Message: detail}
		s.Skipped++
	case ProbeDegraded: // JUnit has no warnings
		test.Out = string(ProbeDegraded) + ": " + detail
	default:
		test.Out = detail
	}
	s.Cases = append(s.Cases, test)
}

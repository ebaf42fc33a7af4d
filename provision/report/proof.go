package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed proof.html.tmpl
var proofText string

// Proof is what a validation found, for its reports.
type Proof struct {
	// Cluster is its name; Started when the validation began.
	Cluster string
	Started time.Time
	// Took is how long it took.
	Took time.Duration
	// OK: nothing failed, and something passed.
	OK     bool
	Probes []ProofProbe
}

// ProofProbe is one question and its answer.
type ProofProbe struct {
	// Name and Target say what was asked, Title what it proves.
	Name, Target, Title string
	// Status is StatusOK, StatusFailed or StatusSkipped.
	Status Status
	// Seen is the evidence, or why it failed or was skipped.
	Seen string
	Took time.Duration
}

// Count is how many probes ended so.
func (p *Proof) Count(s Status) int {
	n := 0
	for _, probe := range p.Probes {
		if probe.Status == s {
			n++
		}
	}
	return n
}

// ProofHTML writes the proof as a page that loads nothing.
func ProofHTML(w io.Writer, p *Proof) error {
	page, err := template.New("proof").Parse(proofText)
	if err != nil {
		return fmt.Errorf("parse the report's template: %w", err)
	}
	if err := page.Execute(w, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// ProofJUnit writes the proof as JUnit's XML: a suite for each name of a
// probe, a case for each target.
func ProofJUnit(w io.Writer, p *Proof) error {
	all := junitSuites{Name: "slipway validate", Time: fmt.Sprintf("%.3f", p.Took.Seconds())}
	for _, probe := range p.Probes {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != probe.Name {
			all.Suites = append(all.Suites, junitSuite{Name: probe.Name})
		}
		all.Suites[len(all.Suites)-1].addProbe(probe)
	}
	return all.write(w)
}

func (s *junitSuite) addProbe(p ProofProbe) {
	test := junitCase{Name: p.Target, ClassName: "slipway.validate." + p.Name}
	if test.Name == "" {
		test.Name = p.Name
	}
	why := &junitWhy{Message: clean(p.Title), Text: clean(p.Seen)}
	s.Tests++
	switch p.Status {
	case StatusFailed:
		test.Failure = why
		s.Failures++
	case StatusSkipped:
		test.Skipped = &junitWhy{Message: clean(p.Seen)}
		s.Skipped++
	default:
		test.Out = why.Text
	}
	s.Cases = append(s.Cases, test)
}

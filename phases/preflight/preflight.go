package preflight

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Severity of a finding.
type Severity string

// The severities: an error stops an apply, a warning is shown.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is something that a check saw.
type Finding struct {
	// Check is the check's name, as in docs/preflight.md.
	Check string `json:"check"`
	// Host is where; empty if it concerns several.
	Host     string   `json:"host,omitempty"`
	Severity Severity `json:"severity"`
	// Evidence is what was seen, Fix what to do about it.
	Evidence string `json:"evidence"`
	Fix      string `json:"fix"`
	// Ignored is the inventory's reason to go on all the same.
	Ignored string `json:"ignored,omitempty"`
}

// FindingsError: checks found errors. Nothing has been changed on any machine.
type FindingsError struct{ Findings []Finding }

func (e *FindingsError) Error() string {
	var lines []string
	for _, f := range e.Findings {
		where := f.Check
		if f.Host != "" {
			where = f.Host + ": " + f.Check
		}
		lines = append(lines, fmt.Sprintf("%s: %s; %s", where, f.Evidence, f.Fix))
	}
	return strings.Join(lines, "\n")
}

// Preflight runs every check and refuses on errors.
func Preflight() workflow.Phase {
	return workflow.Phase{
		Name:     "preflight",
		Title:    "check the machines",
		Why:      "What would stop the installation half-way is said at the start, all of it at once, with what to do.",
		On:       workflow.Installer,
		NeedsAll: []string{"facts", "bundle"},
		ReadOnly: true,
		Do: func(_ context.Context, s *workflow.Step) error {
			findings := Run(s.Cluster(), s.Fleet(), s.Bundle().Manifest().Kubernetes)
			var errs []Finding
			for _, f := range findings {
				if f.Severity == Error && f.Ignored == "" {
					errs = append(errs, f)
					continue
				}
				s.Note("%s", note(f))
			}
			if len(errs) > 0 {
				return workflow.WithHint(&FindingsError{errs}, "nothing has been changed on any machine")
			}
			return nil
		},
	}
}

// note is a finding that does not stop, as a line.
func note(f Finding) string {
	text := fmt.Sprintf("%s: %s", f.Check, f.Evidence)
	if f.Host != "" {
		text = f.Host + ": " + text
	}
	if f.Ignored != "" {
		return fmt.Sprintf("%s (ignored: %s)", text, f.Ignored)
	}
	return text + "; " + f.Fix
}

// Run runs every check on the facts of the fleet. version is the bundle's
// Kubernetes version.
func Run(cluster *config.Cluster, fleet *workflow.Fleet, version string) []Finding {
	look := &look{cluster: cluster, fleet: fleet, version: version}
	var findings []Finding
	for _, check := range checks() {
		for _, f := range check.look(look) {
			f.Check = check.name
			if f.Severity == "" {
				f.Severity = Error
			}
			f.Ignored = reason(cluster, check.name)
			findings = append(findings, f)
		}
	}
	return findings
}

// reason is why the inventory ignores the check; empty if it does not.
func reason(cluster *config.Cluster, check string) string {
	for _, i := range cluster.Preflight.Ignore {
		if i.Check == check {
			return i.Reason
		}
	}
	return ""
}

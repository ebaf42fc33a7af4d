package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// FindingsError: checks found errors. Nothing has been changed on any machine.
type FindingsError struct{ Findings []check.Finding }

func (e *FindingsError) Error() string {
	var lines []string
	for _, f := range e.Findings {
		lines = append(lines, line(f))
	}
	return strings.Join(lines, "\n")
}

// line is a finding in one line.
func line(f check.Finding) string {
	where := f.Check
	if f.Host != "" {
		where = f.Host + ": " + f.Check
	}
	if f.Ignored != "" {
		return fmt.Sprintf("%s: %s (ignored: %s)", where, f.Evidence, f.Ignored)
	}
	return fmt.Sprintf("%s: %s; %s", where, f.Evidence, f.Fix)
}

// Preflight runs every check and refuses on errors. Packets are sent between
// the machines as long as one of them has no kubelet yet: afterwards the
// cluster itself uses the ports, and validate proves the network.
func Preflight() workflow.Phase { return preflightWith(netprobe.Probe) }

// prober is netprobe.Probe.
type prober func(context.Context, []netprobe.Node, []netprobe.Need, netprobe.Options) (*netprobe.Matrix, error)

func preflightWith(probe prober) workflow.Phase {
	return workflow.Phase{
		Name:  "preflight",
		Title: "check the machines",
		Why:   "What would stop the installation half-way is said at the start, all of it at once, with what to do.",
		Manual: []string{
			"slipway preflight",
			"slipway explain CHECK",
		},
		On:       workflow.Localhost,
		NeedsAll: []string{"facts", "bundle"},
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			cc := &checkContext{cluster: s.Cluster(), hosts: s.Hosts(), probe: probe, version: s.Bundle().Manifest().Kubernetes}
			cc.readEtcd(ctx)
			if slices.ContainsFunc(cc.reachable(), func(m *workflow.Host) bool { return !installed(m.Facts()) }) {
				cc.measure(ctx, Selection{})
			} else {
				cc.unmeasured = "every machine is installed"
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			return verdict(s, cc.report(Selection{}))
		},
	}
}

// verdict notes what does not stop, and returns what does.
func verdict(s *workflow.Step, report *check.Report) error {
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			if f.Ignored != "" || f.Severity == check.Warning || f.Severity == check.Unknown {
				s.Note("%s", line(f))
			}
		}
	}
	if errs := report.Findings(check.Error); len(errs) > 0 {
		return workflow.WithHint(&FindingsError{errs}, "nothing has been changed on any machine")
	}
	return nil
}

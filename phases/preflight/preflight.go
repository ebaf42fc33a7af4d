package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// FindingsError: checks found errors. Nothing has been changed on any host.
type FindingsError struct {
	Findings []check.Finding
	// Unreachable are the errors of hosts that a finding reports as unreachable.
	Unreachable []error
}

// Error has a line for each finding. A fix that consecutive findings share is
// in the last of their lines.
func (e *FindingsError) Error() string {
	var lines []string
	for i, f := range e.Findings {
		if i+1 < len(e.Findings) && e.Findings[i+1].Check == f.Check && e.Findings[i+1].Fix == f.Fix {
			f.Fix = ""
		}
		lines = append(lines, line(f))
	}
	return strings.Join(lines, "\n")
}

func (e *FindingsError) Unwrap() []error { return e.Unreachable }

// line is a finding in one line.
func line(f check.Finding) string {
	where := f.Check
	if f.Host != "" {
		where = f.Host + ": " + f.Check
	}
	switch {
	case f.Ignored != "":
		return fmt.Sprintf("%s: %s (ignored: %s)", where, f.Evidence, f.Ignored)
	case f.Fix == "":
		return where + ": " + f.Evidence
	}
	return fmt.Sprintf("%s: %s; %s", where, f.Evidence, f.Fix)
}

// Preflight runs every check on the hosts that the run has read, and fails on
// errors. It sends packets between the hosts until each of them has a kubelet:
// from then on the cluster uses the ports, and validate tests the network.
func Preflight() workflow.Phase { return preflightWith(netprobe.Probe) }

// prober is netprobe.Probe.
type prober func(context.Context, []netprobe.Node, []netprobe.Need, netprobe.Options) (*netprobe.Matrix, error)

func preflightWith(probe prober) workflow.Phase {
	return workflow.Phase{
		Name:  "preflight",
		Title: "check the hosts",
		Why:   "Every problem that would block the installation is reported, with its fix, before anything changes.",
		Manual: []string{
			"slipway preflight",
			"slipway explain CHECK",
		},
		On:       workflow.Localhost,
		NeedsAll: []string{"facts", "bundle", "cluster"},
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			cc := &checkContext{cluster: s.Cluster(), hosts: hostsRead(s.Hosts()), probe: probe, version: s.Bundle().Manifest().Kubernetes, arches: s.Bundle().Arches(), state: s.Hosts().State(), credentials: s.Credentials()}
			cc.target = cc.state.NewVersion(cc.cluster)
			if slices.ContainsFunc(cc.reachable(), func(h *workflow.Host) bool { return !installed(h.Facts()) }) {
				cc.measure(ctx, Selection{})
			} else {
				cc.unmeasured = "every host is installed"
			}
			cc.readRepositories(ctx)
			cc.alive = cc.hosts.SignsOfLife(ctx, cc.cluster)
			cc.readEtcd(ctx)
			cc.readLogins(ctx)
			cc.readManifests(ctx)
			if err := ctx.Err(); err != nil {
				return err
			}
			return cc.verdict(s, cc.report(Selection{}))
		},
	}
}

// hostsRead returns the hosts that the run has read, or tried to read.
func hostsRead(all *workflow.Hosts) *workflow.Hosts {
	unread := func(h *workflow.Host) bool { return h.Facts() == nil && h.Unreachable() == nil }
	read := &workflow.Hosts{
		All:     slices.DeleteFunc(slices.Clone(all.All), unread),
		Leaving: slices.DeleteFunc(slices.Clone(all.Leaving), unread),
		Lost:    all.Lost,
	}
	read.SetState(all.State())
	return read
}

// verdict notes the findings that do not stop the run, and returns those that
// do. That a host was not checked follows from the finding on its connection.
func (cc *checkContext) verdict(s *workflow.Step, report *check.Report) error {
	left := deferred()
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			noted := f.Ignored != "" || f.Severity == check.Warning || f.Severity == check.Unknown
			switch {
			case !noted || f.Evidence == check.HostUnreadable:
			case slices.Contains(left, c.Name):
				s.Deferred("%s; %s", f.Evidence, f.Fix)
			default:
				s.Note("%s", line(f))
			}
		}
	}
	errs := slices.DeleteFunc(report.Findings(check.Error), cc.dispensable)
	if len(errs) == 0 {
		return nil
	}
	found := &FindingsError{Findings: errs}
	for _, h := range cc.hosts.All {
		reported := slices.ContainsFunc(errs, func(f check.Finding) bool { return f.Host == h.Config.Name })
		if err := h.Unreachable(); err != nil && reported {
			found.Unreachable = append(found.Unreachable, err)
		}
	}
	return workflow.WithHint(found, "nothing has been changed on any host")
}

// dispensable reports whether a finding says no more than that a host is
// unreachable, and the others can be changed without it: the cluster exists and
// answers. The run leaves the host out, and fails in the end.
func (cc *checkContext) dispensable(f check.Finding) bool {
	if cc.state == nil || !cc.state.Exists || cc.state.Silent != nil {
		return false
	}
	return slices.ContainsFunc(cc.hosts.All, func(h *workflow.Host) bool {
		return h.Config.Name == f.Host && h != cc.hosts.Seed() && errors.Is(h.Unreachable(), host.ErrUnreachable)
	})
}

// deferred returns the names of the checks whose findings are differences that apply
// leaves.
func deferred() []string {
	var names []string
	for _, c := range Checks() {
		if c.deferred {
			names = append(names, c.Name)
		}
	}
	return names
}

package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// Selection says which checks to run. Only, if there is any, names all of
// them; Skip leaves some out.
type Selection struct{ Only, Skip []string }

// Validate says which names are those of no check.
func (s Selection) Validate() error {
	var names []string
	for _, d := range Describe() {
		names = append(names, d.Name)
	}
	var problems []string
	for _, name := range slices.Concat(s.Only, s.Skip) {
		if !slices.Contains(names, name) {
			problems = append(problems, fmt.Sprintf("no check %q%s; `slipway explain` lists them", name, near(name, names)))
		}
	}
	if len(problems) > 0 {
		return &workflow.SelectionError{Problems: problems}
	}
	return nil
}

// near proposes a name that holds the wrong one, or is held by it.
func near(wrong string, names []string) string {
	for _, name := range names {
		if wrong != "" && (strings.Contains(name, wrong) || strings.Contains(wrong, name)) {
			return fmt.Sprintf(" (did you mean %s?)", name)
		}
	}
	return ""
}

// skips says why a check is left out; empty if it is not.
func (s Selection) skips(name string) (reason string) {
	switch {
	case slices.Contains(s.Skip, name):
		return "left out by --skip-checks"
	case len(s.Only) > 0 && !slices.Contains(s.Only, name):
		return "not among --only"
	}
	return ""
}

// Options of Look.
type Options struct {
	// Version is the bundle's Kubernetes version; empty where it is not known.
	// BundleErr says why the bundle that the inventory names cannot be used.
	Version   string
	BundleErr error
	Selection Selection
	// NoPairs sends no packets between the hosts.
	NoPairs bool
}

// Describe lists all checks, of hosts and of the installer's own machine.
func Describe() []check.Description {
	var all []check.Description
	for _, c := range Checks() {
		all = append(all, c.Description)
	}
	for _, c := range LocalChecks() {
		all = append(all, c.Description)
	}
	return all
}

// Look reads the facts of all machines, measures what lies between them, and
// runs every check that is selected. A machine that cannot be looked at is a
// finding; the only error is the end of the context.
func Look(ctx context.Context, cluster *config.Cluster, hosts *workflow.Hosts, o Options) (*check.Report, error) {
	started := time.Now()
	l := &look{cluster: cluster, hosts: hosts, version: o.Version, bundleErr: o.BundleErr, probe: netprobe.Probe}
	l.failed = readAll(ctx, hosts)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.askEtcd(ctx)
	if o.NoPairs {
		l.noMesh = "left out by --no-pairs"
	} else {
		l.measure(ctx, o.Selection)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	report := l.report(o.Selection)
	report.Started, report.Seconds = started, time.Since(started).Seconds()
	return report, nil
}

// report runs the selected checks on what was read.
func (l *look) report(selection Selection) *check.Report {
	report := &check.Report{Cluster: l.cluster.Metadata.Name, Hosts: l.hosts.Names(), Mesh: l.mesh}
	for _, c := range Checks() {
		if len(selection.Only) > 0 && !slices.Contains(selection.Only, c.Name) {
			continue
		}
		report.Checks = append(report.Checks, l.result(c, selection))
	}
	return report
}

func (l *look) result(c Check, selection Selection) check.Result {
	r := check.Result{Description: c.Description, Status: check.OK, Findings: []check.Finding{}}
	if r.Reason = l.skips(c, selection); r.Reason != "" {
		r.Status = check.Skipped
		return r
	}
	var found []check.Finding
	if c.measured && l.mesh == nil {
		found = []check.Finding{{Severity: check.Unknown, Evidence: l.noMesh, Fix: "slipway preflight --no-pairs leaves these checks out"}}
	} else {
		found = c.look(l)
	}
	if c.Kind == check.Host && !c.connection {
		found = append(found, l.notLookedAt()...)
	}
	for _, f := range found {
		f.Ignored = l.ignored(c.Name)
		r.Add(f)
	}
	return r
}

// skips says why a check is not asked; empty if it is.
func (l *look) skips(c Check, selection Selection) string {
	if reason := selection.skips(c.Name); reason != "" {
		return reason
	}
	if c.applies != nil {
		if reason := c.applies(l.cluster); reason != "" {
			return reason
		}
	}
	if c.measured && l.mesh == nil && l.meshErr == nil {
		return l.noMesh
	}
	return ""
}

// notLookedAt says for a check of single hosts where it could not be asked.
func (l *look) notLookedAt() []check.Finding {
	var all []check.Finding
	for _, m := range l.hosts.All {
		if m.Facts() == nil {
			all = append(all, check.Finding{
				Host: m.Config.Name, Severity: check.Unknown,
				Evidence: check.NotLookedAt, Fix: "see the checks of the connection",
			})
		}
	}
	return all
}

// ignored is why the inventory ignores the check; empty if it does not.
func (l *look) ignored(name string) string {
	for _, i := range l.cluster.Preflight.Ignore {
		if i.Check == name {
			return i.Reason
		}
	}
	return ""
}

// measure sends packets between the machines, unless nobody asks for it.
func (l *look) measure(ctx context.Context, selection Selection) {
	wanted := slices.ContainsFunc(Checks(), func(c Check) bool { return c.measured && selection.skips(c.Name) == "" })
	nodes := l.nodes()
	switch {
	case !wanted:
		l.noMesh = "not selected"
		return
	case len(nodes) == 0:
		l.noMesh = "no machine could be looked at"
		return
	}
	measured, err := l.probe(ctx, nodes, l.needs(), netprobe.Options{Ask: l.ask()})
	if err != nil {
		l.noMesh = fmt.Sprintf("could not be measured: %v", err)
		l.meshErr = err
		return
	}
	l.mesh = measured
}

// names joins hosts for people.
func names(hosts []string) string {
	if len(hosts) < 2 {
		return strings.Join(hosts, "")
	}
	return strings.Join(hosts[:len(hosts)-1], ", ") + " and " + hosts[len(hosts)-1]
}

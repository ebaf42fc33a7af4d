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

// skipReason says why a check is left out; empty if it is not.
func (s Selection) skipReason(name string) (reason string) {
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

// Run reads the facts of all machines, measures what lies between them, and
// runs every check that is selected. A machine that cannot be looked at is a
// finding; the only error is the end of the context.
func Run(ctx context.Context, cluster *config.Cluster, hosts *workflow.Hosts, o Options) (*check.Report, error) {
	started := time.Now()
	cc := &checkContext{cluster: cluster, hosts: hosts, version: o.Version, bundleErr: o.BundleErr, probe: netprobe.Probe}
	cc.failed = readAll(ctx, hosts)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cc.readEtcd(ctx)
	if o.NoPairs {
		cc.unmeasured = "left out by --no-pairs"
	} else {
		cc.measure(ctx, o.Selection)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	report := cc.report(o.Selection)
	report.Started, report.Seconds = started, time.Since(started).Seconds()
	return report, nil
}

// report runs the selected checks on what was read.
func (cc *checkContext) report(selection Selection) *check.Report {
	report := &check.Report{Cluster: cc.cluster.Metadata.Name, Hosts: cc.hosts.Names(), Matrix: cc.matrix}
	for _, c := range Checks() {
		if len(selection.Only) > 0 && !slices.Contains(selection.Only, c.Name) {
			continue
		}
		report.Checks = append(report.Checks, cc.result(c, selection))
	}
	return report
}

func (cc *checkContext) result(c Check, selection Selection) check.Result {
	r := check.Result{Description: c.Description, Status: check.OK, Findings: []check.Finding{}}
	if r.Reason = cc.skipReason(c, selection); r.Reason != "" {
		r.Status = check.Skipped
		return r
	}
	var found []check.Finding
	if c.measured && cc.matrix == nil {
		found = []check.Finding{{Severity: check.Unknown, Evidence: cc.unmeasured, Fix: "slipway preflight --no-pairs leaves these checks out"}}
	} else {
		found = c.run(cc)
	}
	if c.Kind == check.Host && !c.connection {
		found = append(found, cc.unchecked()...)
	}
	for _, f := range found {
		f.Ignored = cc.ignored(c.Name)
		r.Add(f)
	}
	return r
}

// skipReason says why a check is not asked; empty if it is.
func (cc *checkContext) skipReason(c Check, selection Selection) string {
	if reason := selection.skipReason(c.Name); reason != "" {
		return reason
	}
	if c.applies != nil {
		if reason := c.applies(cc.cluster); reason != "" {
			return reason
		}
	}
	if c.measured && cc.matrix == nil && cc.measureErr == nil {
		return cc.unmeasured
	}
	return ""
}

// unchecked says for a check of single hosts where it could not be asked.
func (cc *checkContext) unchecked() []check.Finding {
	var all []check.Finding
	for _, m := range cc.hosts.All {
		if m.Facts() == nil {
			all = append(all, check.Finding{
				Host: m.Config.Name, Severity: check.Unknown,
				Evidence: check.HostUnreadable, Fix: "see the checks of the connection",
			})
		}
	}
	return all
}

// ignored is why the inventory ignores the check; empty if it does not.
func (cc *checkContext) ignored(name string) string {
	for _, i := range cc.cluster.Preflight.Ignore {
		if i.Check == name {
			return i.Reason
		}
	}
	return ""
}

// measure sends packets between the machines, unless nobody asks for it.
func (cc *checkContext) measure(ctx context.Context, selection Selection) {
	wanted := slices.ContainsFunc(Checks(), func(c Check) bool { return c.measured && selection.skipReason(c.Name) == "" })
	nodes := cc.nodes()
	switch {
	case !wanted:
		cc.unmeasured = "not selected"
		return
	case len(nodes) == 0:
		cc.unmeasured = "no machine could be looked at"
		return
	}
	measured, err := cc.probe(ctx, nodes, cc.needs(), netprobe.Options{Ask: cc.arpTargets()})
	if err != nil {
		cc.unmeasured = fmt.Sprintf("could not be measured: %v", err)
		cc.measureErr = err
		return
	}
	cc.matrix = measured
}

// names joins hosts for people.
func names(hosts []string) string {
	if len(hosts) < 2 {
		return strings.Join(hosts, "")
	}
	return strings.Join(hosts[:len(hosts)-1], ", ") + " and " + hosts[len(hosts)-1]
}

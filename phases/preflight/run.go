package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
)

// Selection selects checks: those in Only, or all if it is empty, without those
// in Skip.
type Selection struct{ Only, Skip []string }

// Validate returns an error for names that are not those of checks.
func (s Selection) Validate() error {
	var names []string
	for _, d := range Describe() {
		names = append(names, d.Name)
	}
	var problems []string
	for _, name := range slices.Concat(s.Only, s.Skip) {
		if !slices.Contains(names, CurrentName(name)) {
			problems = append(problems, fmt.Sprintf("unknown check %q%s; run `slipway explain` to list all checks", name, near(name, names)))
		}
	}
	if len(problems) > 0 {
		return &workflow.SelectionError{Problems: problems}
	}
	return nil
}

// CurrentName returns the name of a check that has been renamed. It returns any
// other name as it is.
func CurrentName(name string) string {
	if name == "mesh" {
		return "reachability"
	}
	return name
}

// selects reports whether names contain the check, under its name or an old one.
func selects(names []string, check string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return CurrentName(name) == check })
}

// near proposes a name that contains the wrong one, or is contained in it.
func near(wrong string, names []string) string {
	for _, name := range names {
		if wrong != "" && (strings.Contains(name, wrong) || strings.Contains(wrong, name)) {
			return fmt.Sprintf(" (did you mean %s?)", name)
		}
	}
	return ""
}

// skipReason returns why the selection excludes a check; empty if it does not.
func (s Selection) skipReason(name string) (reason string) {
	switch {
	case selects(s.Skip, name):
		return "skipped with --skip-checks"
	case len(s.Only) > 0 && !selects(s.Only, name):
		return "not among --only"
	}
	return ""
}

// Options of Run.
type Options struct {
	// Version is the bundle's Kubernetes version; empty where it is not known.
	// BundleErr says why the bundle that the inventory names cannot be used.
	Version   string
	BundleErr error
	// Arches are the architectures for which the bundle has Kubernetes.
	Arches    []string
	Selection Selection
	// Credentials are those of the proxy and of registries.
	Credentials sources.Credentials
	// NoPairs sends no packets between the hosts.
	NoPairs bool
}

// Describe lists all checks, of hosts and of localhost.
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

// Run reads the facts of all hosts, measures the network between them, and runs
// every selected check. An unreachable host is a finding; the only error is that
// of the context.
func Run(ctx context.Context, cluster *config.Cluster, hosts *workflow.Hosts, o Options) (*check.Report, error) {
	started := time.Now()
	cc := &checkContext{cluster: cluster, hosts: readAll(ctx, hosts), version: o.Version, bundleErr: o.BundleErr, arches: o.Arches, probe: netprobe.Probe, credentials: o.Credentials}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cc.state = observe(ctx, cluster, cc.hosts, func(ctx context.Context) (*kube.Client, error) {
		return cc.hosts.Connect(ctx, kube.Options{DryRun: true, Port: cc.cluster.ControlPlane.BindPort})
	}, false)
	cc.hosts.SetState(cc.state)
	cc.target = cc.state.NewVersion(cluster)
	if o.NoPairs {
		cc.unmeasured = "skipped with --no-pairs"
	} else {
		cc.measure(ctx, o.Selection)
	}
	asks := []string{"load-balancer-packages", "kernel", "br-netfilter"}
	if slices.ContainsFunc(asks, func(name string) bool { return o.Selection.skipReason(name) == "" }) {
		cc.readRepositories(ctx)
	}
	if o.Selection.skipReason(config.CheckLostHost) == "" {
		cc.alive = cc.hosts.SignsOfLife(ctx, cc.cluster)
	}
	if o.Selection.skipReason(etcdEndpoints) == "" {
		cc.readEtcd(ctx)
	}
	if o.Selection.skipReason(sourcesCheck) == "" {
		cc.readLogins(ctx)
	}
	if o.Selection.skipReason(upgradeAPIs) == "" {
		cc.readManifests(ctx)
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
		if len(selection.Only) > 0 && !selects(selection.Only, c.Name) {
			continue
		}
		report.Checks = append(report.Checks, cc.result(c, selection))
	}
	return report
}

func (cc *checkContext) result(c Check, selection Selection) check.Result {
	if c.nodes {
		cc = cc.ofNodes()
	}
	r := check.Result{Description: c.Description, Status: check.OK, Findings: []check.Finding{}}
	if r.Reason = cc.skipReason(c, selection); r.Reason != "" {
		r.Status = check.Skipped
		return r
	}
	var found []check.Finding
	if c.measured && cc.matrix == nil {
		found = []check.Finding{{Severity: check.Unknown, Evidence: cc.unmeasured, Fix: "rerun with --no-pairs to skip these checks"}}
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

// skipReason returns why a check does not run; empty if it runs.
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
	if c.upgrade && cc.target == "" {
		return "the Kubernetes version does not change"
	}
	return ""
}

// unchecked reports the hosts on which a check of single hosts could not run.
func (cc *checkContext) unchecked() []check.Finding {
	var all []check.Finding
	for _, h := range cc.hosts.All {
		if h.Facts() == nil {
			all = append(all, check.Finding{
				Host: h.Config.Name, Severity: check.Unknown,
				Evidence: check.HostUnreadable, Fix: "fix the connection checks of this host",
			})
		}
	}
	return all
}

// ignored returns why the inventory ignores the check; empty if it does not.
func (cc *checkContext) ignored(name string) string {
	for _, i := range cc.cluster.Preflight.Ignore {
		if CurrentName(i.Check) == name {
			return i.Reason
		}
	}
	return ""
}

// measure sends packets between the hosts, unless no selected check needs it.
func (cc *checkContext) measure(ctx context.Context, selection Selection) {
	wanted := slices.ContainsFunc(Checks(), func(c Check) bool { return c.measured && selection.skipReason(c.Name) == "" })
	nodes := cc.nodes()
	switch {
	case !wanted:
		cc.unmeasured = "not selected"
		return
	case len(nodes) == 0:
		cc.unmeasured = "no host could be read"
		return
	}
	measured, err := cc.probe(ctx, nodes, cc.needs(), netprobe.Options{Ask: cc.arpTargets(), Routers: usesKeepalived(cc.cluster)})
	if err != nil {
		cc.unmeasured = fmt.Sprintf("the measurement failed: %v", err)
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

package cmd

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
)

func newUpgrade(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "upgrade",
		Short: "Show the Kubernetes versions that the cluster can get",
		Long: `Show the Kubernetes versions that the cluster can get. To upgrade, set kubernetes.version in
the inventory, look at "slipway plan", and run "slipway apply".`,
		Example: "  slipway upgrade plan",
	}, newUpgradePlan(a))
}

func newUpgradePlan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "List the available versions and what stands in the way of each",
		Long: `List the versions of each host, the versions that the cluster can get, and what stands in
the way of each: the version skew, PodDisruptionBudgets that block a drain, APIs in use
that the version removes, members of etcd that are not healthy, disk space, and hosts that
would be left out. It reads only.

Available are the patch releases of the cluster's minor version and the releases of the
next one, in the catalogue and in the bundle of the inventory. Any other patch release of a
supported minor version can be set in the inventory too: it is listed then.

The exit code is 0 also if something stands in the way; -o json has "blocked" for each
version.`,
		Example: `  slipway upgrade plan
  slipway upgrade plan -i lab.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			candidates, err := upgradeCandidates(s.cluster)
			if err != nil {
				return err
			}
			return a.query(cmd.Context(), s, phases.UpgradePlan(candidates, func(p preflight.UpgradePlan) error { return a.showUpgradePlan(p, s.inventory) }))
		},
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	return cmd
}

// upgradeCandidates are the versions that slipway can install.
func upgradeCandidates(cluster *config.Cluster) ([]preflight.Candidate, error) {
	var candidates []preflight.Candidate
	named, err := namedBundle(cluster)
	if err != nil {
		return nil, err
	}
	if named != nil {
		m := named.Manifest()
		components := map[string]string{}
		for _, f := range m.Files {
			components[f.Name] = f.Version
		}
		var images []string
		for _, i := range m.Images {
			if i.Addon == "" {
				images = append(images, i.Name)
			}
		}
		candidates = append(candidates, preflight.Candidate{Version: m.Kubernetes, Source: preflight.SourceBundle, Components: upgradeComponents(components, images)})
	}
	catalogue, err := bundle.OpenCatalogue(cluster.Artifacts.Catalogue)
	if err != nil {
		return nil, &usageError{err}
	}
	for _, r := range catalogue.Releases {
		var images []string
		for _, i := range r.Images {
			images = append(images, i.Name)
		}
		candidates = append(candidates, preflight.Candidate{Version: r.Kubernetes, Source: preflight.SourceCatalogue, Components: upgradeComponents(r.Components, images)})
	}
	if version := cluster.Kubernetes.Version; version != "" {
		candidates = append(candidates, preflight.Candidate{Version: version, Source: preflight.SourceInventory})
	}
	return candidates, nil
}

// upgradeComponents are the versions of what changes with Kubernetes besides itself.
func upgradeComponents(files map[string]string, images []string) map[string]string {
	components := map[string]string{}
	for _, name := range []string{"containerd", "runc"} {
		if version := files[name]; version != "" {
			components[name] = version
		}
	}
	for _, image := range images {
		name, tag, _ := strings.Cut(path.Base(image), ":")
		if name == "etcd" || name == "coredns" || name == "pause" {
			components[name] = tag
		}
	}
	return components
}

func (a *app) showUpgradePlan(plan preflight.UpgradePlan, inventory string) error {
	if a.json() {
		return a.printJSON(plan)
	}
	fmt.Fprintf(a.out, "%s: Kubernetes %s\n\n", plan.Cluster, plan.Version)
	var rows []report.Row
	for _, h := range plan.Hosts {
		row := report.Row{Status: report.StatusOK, Cells: []string{h.Name, roleList(h.Roles), h.Kubelet, h.APIServer, h.Etcd, h.Containerd, h.Note}}
		if h.Note != "" || !h.Ready {
			row.Status = report.StatusWarning
		}
		rows = append(rows, row)
	}
	if err := report.Table(a.out, []string{"HOST", "ROLES", "KUBELET", "API SERVER", "ETCD", "CONTAINERD", "NOTE"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	if len(plan.Upgrades) == 0 {
		fmt.Fprintf(a.out, "No newer version is in the catalogue or in the bundle of the inventory.\n")
		return nil
	}
	if err := report.Table(a.out, []string{"AVAILABLE", "KIND", "FROM", "BRINGS", "STANDS IN THE WAY"}, upgradeRows(plan)); err != nil {
		return err
	}
	for _, u := range plan.Upgrades {
		if len(u.Findings) > 0 {
			fmt.Fprintf(a.out, "\n%s:\n", u.Version)
		}
		for _, f := range u.Findings {
			severity := string(f.Severity)
			if f.Ignored != "" {
				severity = "ignored (" + f.Ignored + ")"
			}
			fmt.Fprintf(a.out, "  %s: %s: %s\n    %s\n", severity, f.Check, withHost(f), f.Fix)
		}
	}
	fmt.Fprintf(a.out, "\nTo upgrade, set kubernetes.version in %s, and run `slipway plan`.\n", inventory)
	return nil
}

func upgradeRows(plan preflight.UpgradePlan) []report.Row {
	var rows []report.Row
	for _, u := range plan.Upgrades {
		var brings []string
		for _, name := range slices.Sorted(maps.Keys(u.Components)) {
			brings = append(brings, name+" "+u.Components[name])
		}
		row := report.Row{Status: report.StatusOK, Cells: []string{u.Version, u.Kind, strings.Join(u.Sources, ", "), strings.Join(brings, ", "), obstacleCount(u)}}
		switch {
		case u.Blocked:
			row.Status = report.StatusFailed
		case len(u.Findings) > 0:
			row.Status = report.StatusWarning
		}
		rows = append(rows, row)
	}
	return rows
}

// obstacleCount counts the findings by severity: "1 error, 2 warnings".
func obstacleCount(u preflight.AvailableUpgrade) string {
	counts := map[check.Severity]int{}
	for _, f := range u.Findings {
		if f.Ignored == "" {
			counts[f.Severity]++
		}
	}
	var words []string
	for _, severity := range []check.Severity{check.Error, check.Warning, check.Unknown} {
		switch n := counts[severity]; {
		case n == 1 || severity == check.Unknown && n > 0:
			words = append(words, fmt.Sprintf("%d %s", n, severity))
		case n > 1:
			words = append(words, fmt.Sprintf("%d %ss", n, severity))
		}
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// withHost is the evidence of a finding, with its host unless it names it.
func withHost(f check.Finding) string {
	if f.Host == "" || strings.Contains(f.Evidence, f.Host) {
		return f.Evidence
	}
	return f.Host + ": " + f.Evidence
}

func roleList(roles []config.Role) string {
	names := make([]string, 0, len(roles))
	for _, role := range roles {
		names = append(names, string(role))
	}
	return strings.Join(names, ",")
}

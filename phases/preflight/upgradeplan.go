package preflight

import (
	"context"
	"errors"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// Candidate is a version of Kubernetes that slipway can install.
type Candidate struct {
	Version string
	// Source is where it comes from: "bundle", "catalogue" or "inventory".
	Source string
	// Components are the versions that it brings, by name: etcd, coredns, containerd.
	Components map[string]string
}

// UpgradePlan is what `slipway upgrade plan -o json` shows.
type UpgradePlan struct {
	// Cluster is the name in the inventory, Version that of the control plane.
	Cluster string `json:"cluster"`
	Version string `json:"version"`
	// Hosts are the versions of the nodes now.
	Hosts []HostVersions `json:"hosts"`
	// Upgrades are the versions that the cluster can get, oldest first.
	Upgrades []AvailableUpgrade `json:"upgrades"`
}

// HostVersions are the versions on a host. Those that it does not have are empty.
type HostVersions struct {
	Name  string        `json:"name"`
	Roles []config.Role `json:"roles,omitempty"`
	// Kubelet is that of the Node.
	Kubelet    string `json:"kubelet,omitempty"`
	APIServer  string `json:"apiServer,omitempty"`
	Etcd       string `json:"etcd,omitempty"`
	Containerd string `json:"containerd,omitempty"`
	Ready      bool   `json:"ready"`
	// Note says why the versions are not known, or why the host is left out.
	Note string `json:"note,omitempty"`
}

// Kinds of upgrades.
const (
	// UpgradeResume finishes an upgrade that was interrupted.
	UpgradeResume = "resume"
	UpgradePatch  = "patch"
	UpgradeMinor  = "minor"
)

// AvailableUpgrade is a version that the cluster can get, and what stands in its way.
type AvailableUpgrade struct {
	Version string `json:"version"`
	Kind    string `json:"kind"`
	// Sources are where it comes from.
	Sources []string `json:"sources"`
	// Components are the versions that it brings, by name.
	Components map[string]string `json:"components,omitempty"`
	// Blocked: apply refuses the version, unless the inventory ignores the check.
	Blocked bool `json:"blocked"`
	// Findings are errors, warnings and what could not be checked.
	Findings []check.Finding `json:"findings"`
}

// PlanUpgrade shows the versions that the cluster can get.
func PlanUpgrade(candidates []Candidate, show func(UpgradePlan) error) workflow.Phase {
	return workflow.Phase{
		Name:     "upgrade-plan",
		Title:    "show the versions that the cluster can get",
		Why:      "What stands in the way of an upgrade is known before kubernetes.version is edited.",
		Manual:   []string{"kubeadm upgrade plan"},
		On:       workflow.Localhost,
		NeedsAll: []string{"facts", "cluster"},
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			state := s.Hosts().State()
			switch {
			case !state.Exists:
				return workflow.WithHint(errors.New("there is no cluster on the hosts yet"), "create it with `slipway apply`")
			case state.Silent != nil:
				return state.Silent
			case state.Version == "":
				return workflow.WithHint(errors.New("the cluster is not complete"), "complete it with `slipway apply`")
			}
			cc := &checkContext{cluster: s.Cluster(), hosts: s.Hosts(), state: state, credentials: s.Credentials()}
			return show(cc.upgradePlan(ctx, candidates))
		},
	}
}

func (cc *checkContext) upgradePlan(ctx context.Context, candidates []Candidate) UpgradePlan {
	plan := UpgradePlan{Cluster: cc.cluster.Metadata.Name, Version: cc.state.Version, Hosts: cc.hostVersions(), Upgrades: []AvailableUpgrade{}}
	for _, c := range candidates {
		kind := cc.upgradeKind(c.Version)
		if kind == "" {
			continue
		}
		i := slices.IndexFunc(plan.Upgrades, func(u AvailableUpgrade) bool { return u.Version == c.Version })
		if i < 0 {
			i = len(plan.Upgrades)
			plan.Upgrades = append(plan.Upgrades, AvailableUpgrade{Version: c.Version, Kind: kind, Components: c.Components})
		}
		u := &plan.Upgrades[i]
		u.Sources = append(u.Sources, c.Source)
		if u.Components == nil {
			u.Components = c.Components
		}
	}
	slices.SortFunc(plan.Upgrades, func(a, b AvailableUpgrade) int {
		return goversion.Must(goversion.NewVersion(a.Version)).Compare(goversion.Must(goversion.NewVersion(b.Version)))
	})
	for i := range plan.Upgrades {
		u := &plan.Upgrades[i]
		cc.target = u.Version
		if i == 0 {
			cc.readManifests(ctx) // whatever the version is
		}
		u.Findings = cc.obstacles()
		u.Blocked = slices.ContainsFunc(u.Findings, func(f check.Finding) bool { return f.Severity == check.Error && f.Ignored == "" })
	}
	return plan
}

// obstacles are what stands in the way of cc.target.
func (cc *checkContext) obstacles() []check.Finding {
	found := []check.Finding{}
	for _, c := range upgradeChecks() {
		for _, f := range cc.result(c, Selection{}).Findings {
			if f.Severity != check.Info {
				found = append(found, f)
			}
		}
	}
	return found
}

// upgradeKind is the kind of an upgrade to a version; empty if the cluster cannot get it
// now: it is not newer, or more than one minor version ahead.
func (cc *checkContext) upgradeKind(version string) string {
	now, err := goversion.NewVersion(cc.state.Version)
	target, errTarget := goversion.NewVersion(version)
	if errors.Join(err, errTarget) != nil || target.LessThan(now) {
		return ""
	}
	supported := slices.ContainsFunc(config.SupportedMinors(), func(minor string) bool {
		return strings.HasPrefix(strings.TrimPrefix(version, "v"), minor+".")
	})
	switch behind := minorsBehind(now, target); {
	case !supported || behind > 1:
		return ""
	case behind == 1:
		return UpgradeMinor
	case !target.Equal(now):
		return UpgradePatch
	}
	for _, h := range cc.cluster.Nodes() {
		if node := cc.state.Node(h.Name); node != nil && node.Version != cc.state.Version {
			return UpgradeResume
		}
	}
	return ""
}

// hostVersions are the versions of the nodes, those of the inventory first.
func (cc *checkContext) hostVersions() []HostVersions {
	var all []HostVersions
	for _, h := range cc.hosts.WithLeaving().All {
		v := HostVersions{Name: h.Config.Name, Roles: h.Config.Roles}
		if f := h.Facts(); f != nil {
			v.APIServer, v.Etcd, v.Containerd = apiServerVersion(f), tag(f.Kubernetes.StaticPods["etcd"]), f.Software.Containerd
		} else if err := h.Unreachable(); err != nil {
			v.Note = err.Error()
		}
		if node := cc.state.Node(v.Name); node != nil {
			v.Kubelet, v.Ready = node.Version, node.Ready
		}
		if !h.Config.Stays() {
			v.Note = h.Config.State + " in the inventory"
		}
		all = append(all, v)
	}
	for _, node := range cc.state.Nodes {
		if !slices.ContainsFunc(all, func(v HostVersions) bool { return v.Name == node.Name }) {
			all = append(all, HostVersions{Name: node.Name, Kubelet: node.Version, Ready: node.Ready, Note: "not in the inventory, or lost"})
		}
	}
	return all
}

// SourceBundle and the others are the sources of candidates.
const (
	SourceBundle    = "bundle"
	SourceCatalogue = "catalogue"
	SourceInventory = "inventory"
)

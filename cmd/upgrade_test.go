package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/viper"

	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report/check"
)

func somePlan() preflight.UpgradePlan {
	return preflight.UpgradePlan{
		Cluster: "prod", Version: "v1.36.3",
		Hosts: []preflight.HostVersions{
			{Name: "cp-1", Roles: []config.Role{config.RoleControlPlane, config.RoleWorker}, Kubelet: "v1.36.3", APIServer: "v1.36.3", Etcd: "3.6.4-0", Containerd: "2.3.4", Ready: true},
			{Name: "w-9", Kubelet: "v1.36.3", Ready: true, Note: "not in the inventory, or lost"},
		},
		Upgrades: []preflight.AvailableUpgrade{
			{Version: "v1.36.4", Kind: "patch", Sources: []string{"catalogue", "inventory"}, Findings: []check.Finding{}},
			{Version: "v1.37.2", Kind: "minor", Sources: []string{"catalogue"}, Components: map[string]string{"etcd": "3.7.0-0", "coredns": "v1.14.6"}, Blocked: true, Findings: []check.Finding{
				{Check: "upgrade-budgets", Host: "w-1", Severity: check.Error, Evidence: "PodDisruptionBudget web blocks pod shop/web on node w-1: never", Fix: "let it allow an eviction"},
				{Check: "upgrade-hosts", Host: "w-2", Severity: check.Warning, Evidence: "the host cannot be reached", Fix: "make it reachable"},
				{Check: "upgrade-disk", Host: "w-2", Severity: check.Error, Ignored: "small", Evidence: "1 MiB free", Fix: "free some"},
			}},
		},
	}
}

func TestUpgradePlanShowsVersionsAndWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{out: &out, settings: viper.New()}
	if err := a.showUpgradePlan(somePlan(), "prod.yaml"); err != nil {
		t.Fatal(err)
	}
	fields := func(line string) string { return strings.Join(strings.Fields(line), " ") }
	var got []string
	for line := range strings.Lines(out.String()) {
		if line = fields(line); line != "" {
			got = append(got, line)
		}
	}
	for _, want := range []string{
		"prod: Kubernetes v1.36.3",
		"v1.37.2 minor catalogue coredns v1.14.6, etcd 3.7.0-0 1 error, 1 warning",
		"v1.37.2:",
		"error: upgrade-budgets: PodDisruptionBudget web blocks pod shop/web on node w-1: never",
		"let it allow an eviction",
		"warning: upgrade-hosts: w-2: the host cannot be reached",
		"ignored (small): upgrade-disk: w-2: 1 MiB free",
		"To upgrade, set kubernetes.version in prod.yaml, and run `slipway plan`.",
	} {
		found := false
		for _, line := range got {
			found = found || strings.HasSuffix(line, want)
		}
		if !found {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
	if !strings.Contains(out.String(), "nothing") || strings.Contains(out.String(), "v1.36.4:") {
		t.Errorf("nothing stands in the way of v1.36.4:\n%s", out.String())
	}
}

func TestUpgradePlanWithoutNewerVersions(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	plan := somePlan()
	plan.Upgrades = nil
	if err := (&app{out: &out, settings: viper.New()}).showUpgradePlan(plan, "prod.yaml"); err != nil || !strings.Contains(out.String(), "No newer version") {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

func TestUpgradePlanAsJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	settings := viper.New()
	settings.Set("output", "json")
	if err := (&app{out: &out, settings: settings}).showUpgradePlan(somePlan(), "prod.yaml"); err != nil {
		t.Fatal(err)
	}
	var got preflight.UpgradePlan
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(somePlan(), got); diff != "" {
		t.Error(diff)
	}
}

func TestUpgradeCandidatesAreThoseOfTheCatalogueAndTheInventory(t *testing.T) {
	t.Parallel()
	candidates, err := upgradeCandidates(&config.Cluster{Kubernetes: config.Kubernetes{Version: "v1.36.9"}})
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	if len(candidates) != len(catalogue.Releases)+1 {
		t.Errorf("%d candidates of %d releases", len(candidates), len(catalogue.Releases))
	}
	for i, r := range catalogue.Releases {
		c := candidates[i]
		if c.Version != r.Kubernetes || c.Source != "catalogue" || c.Components["etcd"] == "" || c.Components["coredns"] == "" || c.Components["containerd"] == "" {
			t.Errorf("got %+v of %s", c, r.Kubernetes)
		}
	}
	if last := candidates[len(candidates)-1]; last.Version != "v1.36.9" || last.Source != "inventory" {
		t.Errorf("got %+v", last)
	}
}

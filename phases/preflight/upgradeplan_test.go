package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// planned runs the phase.
func planned(t *testing.T, prepare func(*cluster.State), candidates ...Candidate) (UpgradePlan, error) {
	t.Helper()
	fixture, state := upgrading(t, "")
	prepare(state)
	fixture.Hosts.SetState(state)
	fixture.Facts("cp-1").Kubernetes.StaticPods["etcd"] = "registry.k8s.io/etcd:3.6.4-0"
	fixture.Facts("cp-1").Software.Containerd = "2.3.4"
	var shown UpgradePlan
	err := fixture.Apply(PlanUpgrade(candidates, func(p UpgradePlan) error {
		shown = p
		return nil
	}))
	return shown, err
}

func TestAnUpgradePlanListsWhatTheClusterCanGet(t *testing.T) {
	t.Parallel()
	plan, err := planned(t, func(s *cluster.State) {
		s.Nodes = append(s.Nodes, cluster.Node{Name: "w-9", Version: "v1.36.3", Ready: true})
		s.Upgrade.Blocking = []kube.Blocked{{Node: "w-1", Pod: "shop/web", Budgets: []string{"web"}, Never: true, Why: "never"}}
		s.Upgrade.Requested("cp-1", []kube.DeprecatedAPI{{Group: "networking.k8s.io", Version: "v1beta1", Resource: "ipaddresses", RemovedIn: "1.37"}})
	},
		Candidate{Version: "v1.37.2", Source: SourceCatalogue, Components: map[string]string{"etcd": "3.7.0-0"}},
		Candidate{Version: "v1.36.10", Source: SourceBundle}, Candidate{Version: "v1.36.4", Source: SourceCatalogue},
		Candidate{Version: "v1.36.10", Source: SourceInventory, Components: map[string]string{"etcd": "3.6.9-0"}},
		Candidate{Version: "v1.36.3", Source: SourceCatalogue}, Candidate{Version: "v1.35.8", Source: SourceCatalogue}, Candidate{Version: "v1.38.0", Source: SourceCatalogue},
	)
	if err != nil {
		t.Fatal(err)
	}
	control, worker := []config.Role{config.RoleControlPlane}, []config.Role{config.RoleWorker}
	want := UpgradePlan{
		Cluster: "kubernetes", Version: "v1.36.3",
		Hosts: []HostVersions{
			{Name: "cp-1", Roles: control, Kubelet: "v1.36.3", APIServer: "v1.36.3", Etcd: "3.6.4-0", Containerd: "2.3.4", Ready: true},
			{Name: "w-1", Roles: worker, Kubelet: "v1.36.3", Ready: true},
			{Name: "w-9", Kubelet: "v1.36.3", Ready: true, Note: "not in the inventory, or lost"},
		},
		Upgrades: []AvailableUpgrade{
			{Version: "v1.36.4", Kind: UpgradePatch, Sources: []string{"catalogue"}, Blocked: true},
			{Version: "v1.36.10", Kind: UpgradePatch, Sources: []string{"bundle", "inventory"}, Components: map[string]string{"etcd": "3.6.9-0"}, Blocked: true},
			{Version: "v1.37.2", Kind: UpgradeMinor, Sources: []string{"catalogue"}, Components: map[string]string{"etcd": "3.7.0-0"}, Blocked: true},
		},
	}
	if diff := cmp.Diff(want, plan, cmpopts.IgnoreFields(AvailableUpgrade{}, "Findings"), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	for i, want := range [][]string{
		{"upgrade-budgets w-1 error", "upgrade-apis  warning", "upgrade-hosts  warning"},
		{"upgrade-budgets w-1 error", "upgrade-apis  warning", "upgrade-hosts  warning"},
		{"upgrade-budgets w-1 error", "upgrade-apis  error", "upgrade-hosts  warning"},
	} {
		if diff := cmp.Diff(want, toldOf(plan.Upgrades[i].Findings)); diff != "" {
			t.Errorf("%s: %s", plan.Upgrades[i].Version, diff)
		}
	}
}

func TestAnUpgradePlanOfAHealthyCluster(t *testing.T) {
	t.Parallel()
	plan, err := planned(t, func(*cluster.State) {}, Candidate{Version: "v1.36.4", Source: SourceCatalogue})
	if err != nil {
		t.Fatal(err)
	}
	if u := plan.Upgrades; len(u) != 1 || u[0].Blocked || u[0].Findings == nil || len(u[0].Findings) > 0 {
		t.Errorf("got %+v", u)
	}
}

func TestAnUpgradePlanHasAnUpgradeThatWasInterrupted(t *testing.T) {
	t.Parallel()
	plan, err := planned(t, func(s *cluster.State) { s.Nodes[1].Version = "v1.36.2" }, Candidate{Version: "v1.36.3", Source: SourceCatalogue})
	if err != nil {
		t.Fatal(err)
	}
	if u := plan.Upgrades; len(u) != 1 || u[0].Kind != UpgradeResume || u[0].Version != "v1.36.3" {
		t.Errorf("got %+v", u)
	}
}

func TestAnUpgradeThatTheInventoryIgnoresTheCheckOfIsNotBlocked(t *testing.T) {
	t.Parallel()
	fixture, state := upgrading(t, "")
	fixture.Cluster.Preflight.Ignore = []config.IgnoredCheck{{Check: "upgrade-budgets", Reason: "mine"}}
	state.Upgrade.Blocking = []kube.Blocked{{Node: "w-1", Pod: "shop/web", Budgets: []string{"web"}, Never: true, Why: "never"}}
	fixture.Hosts.SetState(state)
	var shown UpgradePlan
	err := fixture.Apply(PlanUpgrade([]Candidate{{Version: "v1.36.4", Source: SourceCatalogue}}, func(p UpgradePlan) error {
		shown = p
		return nil
	}))
	if err != nil || len(shown.Upgrades) != 1 || shown.Upgrades[0].Blocked || len(shown.Upgrades[0].Findings) != 1 || shown.Upgrades[0].Findings[0].Severity != check.Error {
		t.Errorf("got %+v, %v", shown, err)
	}
}

func TestAnUpgradePlanNeedsACluster(t *testing.T) {
	t.Parallel()
	silent := errors.New("connection refused")
	for name, test := range map[string]struct {
		prepare func(*cluster.State)
		err     string
		hint    string
	}{
		"no cluster":                   {func(s *cluster.State) { *s = cluster.State{} }, "there is no cluster on the hosts yet", "create it with `slipway apply`"},
		"a silent API server":          {func(s *cluster.State) { s.Silent = silent }, "connection refused", ""},
		"an init that was interrupted": {func(s *cluster.State) { s.Version = "" }, "the cluster is not complete", "complete it with `slipway apply`"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := planned(t, test.prepare, Candidate{Version: "v1.36.4"})
			if err == nil || !strings.Contains(err.Error(), test.err) || workflow.Hint(err) != test.hint {
				t.Errorf("got %v, hint %q", err, workflow.Hint(err))
			}
		})
	}
}

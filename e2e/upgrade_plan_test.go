//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/report/check"
)

const (
	// nextMinor is the version of the catalogue that follows the bundle's.
	nextMinor = "v1.37.2"
	// removedAPI is one that nextMinor does not serve any more. API servers serve it only if
	// they are asked to.
	removedAPI   = "networking.k8s.io/v1beta1"
	removedPath  = "/apis/" + removedAPI + "/ipaddresses"
	apiManifest  = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	plantedStage = "/etc/kubernetes/kube-apiserver.planted"
)

// upgradePlanSteps plant what stands in the way of an upgrade on a running cluster, and
// find it.
func (h *ha) upgradePlanSteps() []step {
	return []step{
		h.step("upgrade plan lists the next minor version", h.upgradeIsAvailable, false),
		h.step("upgrade plan names a planted PodDisruptionBudget", h.plantsBudget, false),
		h.step("upgrade plan names a planted use of a removed API", h.plantsRemovedAPI, false),
		h.step("a node that is drained for maintenance stays cordoned", h.drainsForMaintenance, false),
	}
}

// upgradePlan is the output of `slipway upgrade plan -o json`, as far as it is used.
type upgradePlan struct {
	Version string
	Hosts   []struct {
		Name, Kubelet, APIServer string
		Ready                    bool
	}
	Upgrades []availableUpgrade
}

type availableUpgrade struct {
	Version, Kind string
	Sources       []string
	Blocked       bool
	Findings      []check.Finding
}

// planUpgrade runs the command, and returns what it says of nextMinor.
func (h *ha) planUpgrade(ctx context.Context, t *testing.T) (upgradePlan, availableUpgrade) {
	t.Helper()
	r := h.slipway.must(ctx, t, h.on("upgrade", "plan", "-o", "json")...)
	h.took("upgrade plan", r.took)
	var plan upgradePlan
	if err := json.Unmarshal([]byte(r.stdout), &plan); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	for _, u := range plan.Upgrades {
		if u.Version == nextMinor {
			return plan, u
		}
	}
	t.Fatalf("%s is not available: %s", nextMinor, r.stdout)
	return plan, availableUpgrade{}
}

// finding returns the first finding of a check whose evidence contains a text.
func (u availableUpgrade) finding(name, evidence string) *check.Finding {
	for i := range u.Findings {
		if f := &u.Findings[i]; f.Check == name && strings.Contains(f.Evidence, evidence) {
			return f
		}
	}
	return nil
}

func (h *ha) upgradeIsAvailable(ctx context.Context, t *testing.T) {
	plan, u := h.planUpgrade(ctx, t)
	if u.Kind != "minor" || u.Blocked {
		t.Errorf("nothing is planted, and got %+v", u)
	}
	if len(plan.Hosts) != len(h.lab.Machines) {
		t.Errorf("hosts %+v", plan.Hosts)
	}
	for _, host := range plan.Hosts {
		if host.Kubelet != plan.Version || !host.Ready {
			t.Errorf("the cluster has %s, and %s is %+v", plan.Version, host.Name, host)
		}
	}
	if r := h.slipway.must(ctx, t, h.on("upgrade", "plan")...); !strings.Contains(r.stdout, nextMinor) {
		t.Errorf("as text: %s", r)
	}
}

// plantsBudget plants a budget that never allows an eviction.
func (h *ha) plantsBudget(ctx context.Context, t *testing.T) {
	const remove = "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system delete poddisruptionbudget planted --ignore-not-found"
	plane := h.controlPlanes()[0]
	h.mustSSH(ctx, t, plane, "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system create poddisruptionbudget planted --selector k8s-app=kube-dns --max-unavailable 0")
	t.Cleanup(func() { _, _ = h.ssh(context.Background(), plane, remove) })
	eventually(ctx, t, "the budget is in the plan", time.Minute, func(ctx context.Context) error {
		_, u := h.planUpgrade(ctx, t)
		f := u.finding("upgrade-budgets", "PodDisruptionBudget planted blocks pod kube-system/coredns-")
		if f == nil || f.Severity != check.Error || f.Host == "" || !u.Blocked || !strings.Contains(f.Evidence, "deployment kube-system/coredns") || !strings.Contains(f.Fix, "patch poddisruptionbudget planted") {
			return fmt.Errorf("got %+v", u)
		}
		return nil
	})
	r := h.slipway.run(ctx, t, "preflight", "--inventory", h.withVersion(t, nextMinor), "--no-pairs", "--only", "upgrade-budgets", "-o", "json")
	if r.code != 5 || !strings.Contains(r.stdout, "PodDisruptionBudget planted blocks pod") {
		t.Errorf("preflight with kubernetes.version %s: %s", nextMinor, r)
	}
	h.mustSSH(ctx, t, plane, remove)
	if _, u := h.planUpgrade(ctx, t); u.finding("upgrade-budgets", "planted") != nil {
		t.Errorf("without the budget: %+v", u)
	}
}

// withVersion returns an inventory with another Kubernetes version.
func (h *ha) withVersion(t *testing.T, version string) string {
	t.Helper()
	path, inventory := h.copied(t)
	kubernetes, _ := inventory["kubernetes"].(map[string]any)
	if kubernetes == nil {
		kubernetes = map[string]any{}
	}
	kubernetes["version"] = version
	inventory["kubernetes"] = kubernetes
	text, err := yaml.Marshal(inventory)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text))
	return path
}

// plantsRemovedAPI lets one API server serve an API that nextMinor removes, and a client
// use it. That API server alone knows.
func (h *ha) plantsRemovedAPI(ctx context.Context, t *testing.T) {
	plane := h.controlPlanes()[0]
	swap := func(edit string) string {
		return fmt.Sprintf("cp -p %[1]s %[2]s; %[3]s %[2]s; mv %[2]s %[1]s", apiManifest, plantedStage, edit)
	}
	restore := swap("sed -i '/--runtime-config=networking/d'")
	t.Cleanup(func() { _, _ = h.ssh(context.Background(), plane, restore) })
	h.mustSSH(ctx, t, plane, swap("sed -i 's|^    - kube-apiserver$|&\\n    - --runtime-config="+removedAPI+"=true|'"))
	request := "kubectl --kubeconfig /etc/kubernetes/admin.conf --server " + h.apiServer(plane) + " get --raw " + removedPath
	eventually(ctx, t, "the API server serves "+removedAPI, 3*time.Minute, func(ctx context.Context) error {
		_, err := h.ssh(ctx, plane, request)
		return err
	})
	_, u := h.planUpgrade(ctx, t)
	f := u.finding("upgrade-apis", "ipaddresses of "+removedAPI)
	if f == nil || f.Severity != check.Error || !u.Blocked || !strings.Contains(f.Evidence, "Kubernetes 1.37 removes") || !strings.Contains(f.Evidence, plane) {
		t.Errorf("got %+v", u)
	}
	restored := time.Now()
	h.mustSSH(ctx, t, plane, restore)
	eventually(ctx, t, "the API server has forgotten the request", 3*time.Minute, func(ctx context.Context) error {
		if err := h.ready(ctx, plane); err != nil {
			return err
		}
		if _, u := h.planUpgrade(ctx, t); u.finding("upgrade-apis", removedAPI) != nil {
			return fmt.Errorf("got %+v", u.Findings)
		}
		return nil
	})
	h.heals(ctx, t, "API server restarted until everything is healthy", restored)
}

// drainsForMaintenance drains a worker. An apply in the meantime leaves it cordoned.
func (h *ha) drainsForMaintenance(ctx context.Context, t *testing.T) {
	const worker = "w1"
	t.Cleanup(func() { h.slipway.run(context.Background(), t, h.on("node", "uncordon", worker)...) })
	r := h.slipway.must(ctx, t, h.on("node", "drain", worker, "--yes", "-o", "json")...)
	h.took("node drain", r.took)
	if !strings.Contains(r.stdout, "cordon node "+worker) {
		t.Errorf("got %s", r)
	}
	cordon := func() string {
		out, err := h.kubectl(ctx, t, "get", "node", worker, "-o", `jsonpath={.spec.unschedulable} {.metadata.annotations.slipway\.io/cordoned}`)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(out)
	}
	if got := cordon(); got != "true maintenance" {
		t.Errorf("drained, the node is %q", got)
	}
	nothingChanged(t, h.lab.names(), h.slipway.must(ctx, t, h.on("apply", "-o", "json")...))
	if got := cordon(); got != "true maintenance" {
		t.Errorf("after an apply, the node is %q", got)
	}
	h.slipway.must(ctx, t, h.on("node", "uncordon", worker)...)
	if got := cordon(); got != "" {
		t.Errorf("uncordoned, the node is %q", got)
	}
}

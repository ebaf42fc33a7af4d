//go:build e2e

package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// upgradeBound is for the longest gap between two acknowledged writes during an upgrade.
const upgradeBound = 3 * time.Second

// TestUpgrade upgrades a highly available cluster to the version of another bundle, while a
// client writes through the endpoint. make e2e-upgrade builds the bundles.
func TestUpgrade(t *testing.T) {
	to, version := os.Getenv("SLIPWAY_E2E_UPGRADE_BUNDLE"), os.Getenv("SLIPWAY_E2E_UPGRADE_VERSION")
	if to == "" || version == "" {
		t.Skip("SLIPWAY_E2E_UPGRADE_BUNDLE is not set: run make e2e-upgrade, which builds a bundle for each version")
	}
	u := &upgrade{ha: &ha{scenario: newScenario(t), stop: func() {}}, to: to, version: version}
	t.Cleanup(func() { u.stop() })
	u.runSteps(t, slices.Concat(u.install(), []step{
		u.step("plan names the steps of the upgrade", u.plans, true),
		u.step("apply upgrades one node at a time without a gap of the API", u.upgrades, true),
		u.step("a second apply changes nothing after the upgrade", u.changesNothing, false),
		u.step("validate passes after the upgrade", u.validate, false),
		u.step("no acknowledged object is lost", u.nothingLost, false),
	}))
}

// upgrade is the state of TestUpgrade.
type upgrade struct {
	*ha
	// to is the bundle of the other version.
	to, version string
}

// edit names the new version and its bundle in the inventory.
func (u *upgrade) edit(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(u.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(content), u.bundle, u.to, 1)
	text = strings.Replace(text, "\nkubernetes:\n", "\nkubernetes:\n  version: "+u.version+"\n", 1)
	if !strings.Contains(text, u.to) || !strings.Contains(text, "  version: "+u.version+"\n") {
		t.Fatalf("the inventory cannot be edited:\n%s", text)
	}
	write(t, u.lab.Inventory, text)
}

func (u *upgrade) plans(ctx context.Context, t *testing.T) {
	u.edit(t)
	r := u.slipway.must(ctx, t, u.on("plan", "-o", "json")...)
	planned := map[string][]string{}
	for _, e := range events(t, r.stdout) {
		if e.Kind == "change" {
			planned[e.Host] = append(planned[e.Host], e.Phase)
		}
	}
	for _, m := range u.lab.Machines {
		want := []string{"kubelet", "images", "drain-control-planes", "control-plane-update", "control-plane-kubelet", "uncordon-control-planes"}
		if !slices.Contains(u.controlPlanes(), m.Name) {
			want = []string{"kubelet", "images", "drain-workers", "worker-kubelet", "uncordon-workers"}
		}
		for _, phase := range want {
			if !slices.Contains(planned[m.Name], phase) {
				t.Errorf("the plan to %s on %s lacks %s: %v", u.version, m.Name, phase, planned[m.Name])
			}
		}
	}
}

func (u *upgrade) upgrades(ctx context.Context, t *testing.T) {
	u.appliesWhileWriting(ctx, t, "upgrade of three control planes and a worker", upgradeBound)
	var nodes struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct{ Unschedulable bool }
			Status   struct {
				NodeInfo struct{ KubeletVersion string }
			}
		}
	}
	u.get(ctx, t, &nodes, "nodes")
	for _, n := range nodes.Items {
		if n.Status.NodeInfo.KubeletVersion != u.version || n.Spec.Unschedulable {
			t.Errorf("%s has %s, unschedulable %t", n.Metadata.Name, n.Status.NodeInfo.KubeletVersion, n.Spec.Unschedulable)
		}
	}
	if len(nodes.Items) != len(u.lab.Machines) {
		t.Errorf("%d nodes", len(nodes.Items))
	}
	u.members(ctx, t)
}

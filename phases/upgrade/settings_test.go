package upgrade

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
)

const edited = `
kubernetes:
  clusterConfiguration: {apiServer: {extraArgs: [{name: profiling, value: "false"}]}}
  kubeletConfiguration: {maxPods: 50}
  kubeProxyConfiguration: {mode: nftables}
controlPlane: {certSANs: [api.example]}
`

func TestTheClusterGetsTheSettingsOfTheInventory(t *testing.T) {
	t.Parallel()
	f := newRolling(t, edited)
	want := []string{
		"write the settings to configmap kube-system/kubeadm-config",
		"write the settings to configmap kube-system/kubelet-config",
		"write the settings to configmap kube-system/kube-proxy",
		"restart kube-proxy on each node: its configuration changed",
	}
	f.MustPlan(Settings())
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Errorf("plan: %s", diff)
	}
	var diffs strings.Builder
	for _, e := range f.Events.Events() {
		diffs.WriteString(e.Diff + "\n")
	}
	for _, line := range []string{"+maxPods: 50", "+mode: nftables", "+  - name: profiling", "+  - api.example"} {
		if !strings.Contains(diffs.String(), line) {
			t.Errorf("the plan does not show %q:\n%s", line, diffs.String())
		}
	}
	if slices.ContainsFunc(f.server.Requests(), func(r string) bool {
		return !strings.Contains(r, "dryRun=All") && !strings.Contains(r, "configmaps/slipway")
	}) {
		t.Errorf("the plan changed the cluster: %v", f.server.Requests())
	}
	f.MustApply(Settings())
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Errorf("apply: %s", diff)
	}
	if got := f.document("kubelet-config", "kubelet"); got["maxPods"] != 50.0 || got["cgroupDriver"] != "systemd" {
		t.Errorf("kubelet-config is %v", got)
	}
	f.observe()
	f.MustApply(Settings())
	if again := f.Changes(); len(again) > 0 {
		t.Errorf("a second apply changes %v", again)
	}
}

// The settings of the inventory are removed again, also if the run before was killed before
// it wrote the record.
func TestSettingsThatTheInventoryLeavesOutAreRemoved(t *testing.T) {
	t.Parallel()
	f := newRolling(t, edited)
	before := map[string]map[string]any{}
	for name, key := range map[string]string{"kubeadm-config": "ClusterConfiguration", "kubelet-config": "kubelet", "kube-proxy": "config.conf"} {
		before[name] = f.document(name, key)
	}
	f.MustApply(Settings())
	original := newRolling(t, "")
	f.Cluster = original.Cluster
	f.observe()
	f.MustApply(Settings())
	for name, key := range map[string]string{"kubeadm-config": "ClusterConfiguration", "kubelet-config": "kubelet", "kube-proxy": "config.conf"} {
		if diff := cmp.Diff(before[name], f.document(name, key)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestKubeProxyRestartsAlsoIfTheRunBeforeWasKilled(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "kubernetes: {kubeProxyConfiguration: {mode: nftables}}")
	refused := true
	f.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/daemonsets/kube-proxy") && refused {
			kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", "killed")
			return true
		}
		return f.intercept(w, r)
	})
	if err := f.Apply(Settings()); err == nil || !strings.Contains(err.Error(), "restart kube-proxy") {
		t.Fatalf("got %v", err)
	}
	refused = false
	f.observe()
	f.MustApply(Settings())
	if diff := cmp.Diff([]string{"restart kube-proxy on each node: its configuration changed"}, f.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestAClusterWithoutKubeProxyGetsOtherSettings(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "kubernetes: {kubeletConfiguration: {maxPods: 50}}")
	f.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/kube-proxy") {
			kubetest.Refuse(w, http.StatusNotFound, "NotFound", "no kube-proxy")
			return true
		}
		return f.intercept(w, r)
	})
	f.observe()
	f.MustApply(Settings())
	if diff := cmp.Diff([]string{"write the settings to configmap kube-system/kubelet-config"}, f.Changes()); diff != "" {
		t.Error(diff)
	}
}

package cluster

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
)

func TestSettingsDifferences(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                   string
		live, recorded, wanted string
		want                   []Difference
	}{
		{"a default of Kubernetes", "{maxPods: 110}", "{}", "{}", nil},
		{"the same", "{maxPods: 50, evictionHard: {memory.available: 5%}}", "{}", "{maxPods: 50, evictionHard: {memory.available: 5%}}", nil},
		{"another value", "{maxPods: 110}", "{maxPods: 110}", "{maxPods: 50}", []Difference{{"maxPods", "110", "50"}}},
		{"a new field", "{}", "{}", "{maxPods: 50}", []Difference{{"maxPods", "", "50"}}},
		{"a field that was removed", "{maxPods: 50}", "{maxPods: 50}", "{}", []Difference{{"maxPods", "50", ""}}},
		{"a mapping that was removed", "{evictionHard: {memory.available: 5%}}", "{evictionHard: {memory.available: 5%}}", "{}", []Difference{{"evictionHard.memory.available", "5%", ""}}},
		{"a mapping that became a value", "{a: {b: 1}}", "{a: {b: 1}}", "{a: 2}", []Difference{{"a", `{"b":1}`, "2"}}},
		{"a value that became a mapping", "{a: 2}", "{a: 2}", "{a: {b: 1}}", []Difference{{"a.b", "", "1"}}},
		{"a field that was removed and changed by hand", "{maxPods: 60}", "{maxPods: 50}", "{}", []Difference{{"maxPods", "60", ""}}},
		{"a field that was removed here and there", "{}", "{maxPods: 50}", "{}", nil},
		{"a change by hand to the new value", "{maxPods: 50}", "{maxPods: 110}", "{maxPods: 50}", nil},
		{"a zero value that is left out", "{}", "{}", "{failCgroupV1: false, maxPods: 0, featureGates: {}, clusterDNS: [], a: \"\", syncFrequency: 0s}", nil},
		{"a duration in another form", "{syncFrequency: 5m0s}", "{}", "{syncFrequency: 300s}", nil},
		{"another duration", "{syncFrequency: 5m0s}", "{}", "{syncFrequency: 5s}", []Difference{{"syncFrequency", "5m0s", "5s"}}},
		{"text is no number", "{a: \"1\"}", "{}", "{a: 1}", []Difference{{"a", "1", "1"}}},
		{"a list with defaults in its elements", "{v: [{name: a, readOnly: false, pathType: \"\"}]}", "{}", "{v: [{name: a}]}", nil},
		{"a list in another order", "{l: [a, b]}", "{}", "{l: [b, a]}", []Difference{{"l", `["a","b"]`, `["b","a"]`}}},
		{"a shorter list", "{l: [a, b]}", "{l: [a, b]}", "{l: [a]}", []Difference{{"l", `["a","b"]`, `["a"]`}}},
		{"false that became true", "{a: true}", "{}", "{a: false}", []Difference{{"a", "true", "false"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			section := func(text string) Settings {
				var document map[string]any
				if err := yaml.Unmarshal([]byte(text), &document); err != nil {
					t.Fatal(err)
				}
				return Settings{kubeletSection: document}
			}
			got := section(test.live).Differences(section(test.recorded), section(test.wanted))
			var want []Difference
			for _, d := range test.want {
				d.Field = "kubernetes.kubeletConfiguration." + d.Field
				want = append(want, d)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASectionThatTheClusterDoesNotHaveIsNotCompared(t *testing.T) {
	t.Parallel()
	state := running(t, "")
	delete(state.Settings, proxySection)
	if found, err := state.Edits(inventory(t, edits["kubernetes.kubeProxyConfiguration"])); err != nil || len(found) > 0 {
		t.Errorf("got %v, %v", found, err)
	}
}

// Clusters of earlier releases have no recorded settings.
func TestWithoutRecordedSettingsTheClusterItselfIsCompared(t *testing.T) {
	t.Parallel()
	state := running(t, edits["kubernetes.kubeletConfiguration"])
	state.Record = nil
	want := []Difference{{"kubernetes.kubeletConfiguration.maxPods", "200", "100"}}
	found, err := state.Edits(inventory(t, "kubernetes: {kubeletConfiguration: {maxPods: 100}}"))
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// kubeadm-config has the control planes of the inventory with which the cluster was
// created.
func TestControlPlanesThatComeAndGoAreNoDifferenceOfCertSANs(t *testing.T) {
	t.Parallel()
	const grown = `
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
controlPlane: {endpoint: api.example, certSANs: [%s]}`
	tests := []struct {
		name           string
		live, recorded []any
		wanted         string
		want           []Difference
	}{
		{"growth", []any{"192.0.2.11", "cp-1"}, nil, "", nil},
		{"growth of a cluster of an earlier release", []any{"192.0.2.11", "cp-1"}, []any{"192.0.2.11", "cp-1"}, "", nil},
		{"a control plane that has left", []any{"192.0.2.11", "192.0.2.19", "cp-1", "cp-9"}, nil, "", nil},
		{"a name of the inventory", []any{"192.0.2.11", "cp-1", "a.example"}, []any{"a.example"}, "a.example", nil},
		{"a new name", []any{"192.0.2.11", "cp-1"}, nil, "a.example", []Difference{{"controlPlane.certSANs", "", `["a.example"]`}}},
		{"a name that was removed", []any{"192.0.2.11", "cp-1", "a.example"}, []any{"a.example"}, "", []Difference{{"controlPlane.certSANs", `["a.example"]`, ""}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Parse("inventory.yaml", []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}`+fmt.Sprintf(grown, test.wanted)))
			if err != nil {
				t.Fatal(err)
			}
			of := func(names []any) Settings {
				section := map[string]any{"apiServer": map[string]any{"certSANs": names}}
				if names == nil {
					section = map[string]any{}
				}
				return Settings{clusterSection: section}
			}
			wanted, err := SettingsOf(c)
			if err != nil {
				t.Fatal(err)
			}
			live := of(test.live)
			live[clusterSection]["controllerManager"] = wanted[clusterSection]["controllerManager"]
			state := &State{Version: "v1.36.4", Settings: live, Record: &Record{Settings: of(test.recorded)}}
			got, err := state.Drift(c)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
			if names := live[clusterSection]["apiServer"].(map[string]any)["certSANs"].([]any); len(names) != len(test.live) {
				t.Errorf("the state has changed: %q", names)
			}
		})
	}
}

package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
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
	found, err := state.Pending(inventory(t, "kubernetes: {kubeletConfiguration: {maxPods: 100}}"))
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// A control plane that joins or leaves changes no setting.
func TestTheNamesOfHostsAreNoSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                   string
		live, recorded, wanted string // lists of names
		differs                bool
	}{
		{"names of hosts", "[cp-1, 192.0.2.11]", "", "", false},
		{"names of hosts that have left", "[cp-1, cp-9, api.example]", "[api.example]", "[api.example]", false},
		{"a new name", "[cp-1]", "", "[api.example]", true},
		{"a name that was removed", "[cp-1, api.example]", "[api.example]", "", true},
		{"a name that was removed here and there", "[cp-1]", "[api.example]", "", false},
	}
	for _, test := range tests {
		section := func(names string) Settings {
			var server map[string]any
			if names != "" {
				if err := yaml.Unmarshal([]byte("{certSANs: "+names+"}"), &server); err != nil {
					t.Fatal(err)
				}
			}
			return Settings{clusterSection: {"apiServer": server}}
		}
		got := section(test.live).Differences(section(test.recorded), section(test.wanted))
		if (len(got) > 0) != test.differs || test.differs && got[0].Field != "controlPlane.certSANs" {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
	settings, err := SettingsOf(inventory(t, "controlPlane: {certSANs: [api.example]}"))
	if err != nil {
		t.Fatal(err)
	}
	server, _ := settings[clusterSection]["apiServer"].(map[string]any)
	if diff := cmp.Diff([]any{"api.example"}, server["certSANs"]); diff != "" {
		t.Error(diff)
	}
}

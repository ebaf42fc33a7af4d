package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestDocumentsHaveTheSettingsOfTheInventory(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                         string
		live, recorded, wanted, want string
	}{
		{"a default of kubeadm stays", "{rotateCertificates: true}", "{}", "{}", "{rotateCertificates: true}"},
		{"a field that somebody else has set stays", "{maxPods: 99}", "{}", "{evictionHard: {memory.available: 5%}}", "{maxPods: 99, evictionHard: {memory.available: 5%}}"},
		{"another value", "{maxPods: 110}", "{maxPods: 110}", "{maxPods: 50}", "{maxPods: 50}"},
		{"a field that was removed", "{maxPods: 50, a: 1}", "{maxPods: 50}", "{}", "{a: 1}"},
		{"a mapping that was removed", "{evictionHard: {memory.available: 5%}, a: 1}", "{evictionHard: {memory.available: 5%}}", "{}", "{a: 1}"},
		{"a mapping of which others have set a part", "{evictionHard: {memory.available: 5%, nodefs.available: 1%}}", "{evictionHard: {memory.available: 5%}}", "{}", "{evictionHard: {nodefs.available: 1%}}"},
		{"a mapping that became a value", "{a: {b: 1}}", "{a: {b: 1}}", "{a: 2}", "{a: 2}"},
		{"a value that became a mapping", "{a: 2}", "{a: 2}", "{a: {b: 1}}", "{a: {b: 1}}"},
		{"a duration in another form", "{syncFrequency: 5m0s}", "{}", "{syncFrequency: 300s}", "{syncFrequency: 5m0s}"},
		{"an empty mapping of kubeadm stays", "{memorySwap: {}}", "{}", "{memorySwap: {}}", "{memorySwap: {}}"},
		{"a list is replaced", "{l: [{name: a, value: x}]}", "{l: [{name: a, value: x}]}", "{l: [{name: b, value: y}]}", "{l: [{name: b, value: y}]}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			section := func(text string) map[string]any {
				var document map[string]any
				if err := yaml.Unmarshal([]byte(text), &document); err != nil {
					t.Fatal(err)
				}
				return document
			}
			have, recorded, wanted := section(test.live), section(test.recorded), section(test.wanted)
			got := merged("x", have, recorded, wanted)
			if diff := cmp.Diff(section(test.want), got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(section(test.live), have); diff != "" {
				t.Errorf("the document of the cluster is changed in memory: %s", diff)
			}
			if left := differences("x", got, recorded, wanted); len(left) > 0 {
				t.Errorf("differences are left: %v", left)
			}
		})
	}
}

// The names of hosts, which kubeadm has in the same list, stay.
func TestDocumentsHaveTheNamesOfTheInventory(t *testing.T) {
	t.Parallel()
	state := running(t, "controlPlane: {certSANs: [old.example]}")
	server, _ := state.Settings[clusterSection]["apiServer"].(map[string]any)
	server["certSANs"] = []any{"192.0.2.11", "cp-1", "old.example"}
	documents, err := state.Documents(inventory(t, "controlPlane: {certSANs: [new.example]}"))
	if err != nil {
		t.Fatal(err)
	}
	server, _ = documents.ClusterConfiguration()["apiServer"].(map[string]any)
	if diff := cmp.Diff([]any{"192.0.2.11", "cp-1", "new.example"}, server["certSANs"]); diff != "" {
		t.Error(diff)
	}
}

func TestEachAppliedSettingIsPendingAndThenNot(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		"kubernetes.clusterConfiguration", "kubernetes.kubeletConfiguration", "kubernetes.kubeProxyConfiguration", "controlPlane.certSANs",
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			state, edited := running(t, ""), inventory(t, edits[field])
			if found, err := state.Pending(edited); err != nil || len(found) != 1 {
				t.Errorf("got %v, %v", found, err)
			}
			documents, err := state.Documents(edited)
			if err != nil {
				t.Fatal(err)
			}
			// The run that wrote them was killed before it wrote the record.
			after := *state
			after.Settings = documents
			if found, err := after.Drift(edited); err != nil || len(found) > 0 {
				t.Errorf("after it: got %v, %v", found, err)
			}
			// The way back.
			after.Record = &Record{Settings: state.Record.Settings.With(must(SettingsOf(edited)))}
			back, err := after.Documents(inventory(t, ""))
			if err != nil {
				t.Fatal(err)
			}
			if left := back.Differences(after.Record.Settings, must(SettingsOf(inventory(t, "")))); len(left) > 0 {
				t.Errorf("the way back leaves %v", left)
			}
		})
	}
}

func must(settings Settings, err error) Settings {
	if err != nil {
		panic(err)
	}
	return settings
}

func TestUnchangeable(t *testing.T) {
	t.Parallel()
	for field, changeable := range map[string]bool{
		"kubernetes.clusterConfiguration.apiServer.extraArgs":       true,
		"kubernetes.clusterConfiguration.etcd.local.extraArgs":      true,
		"kubernetes.clusterConfiguration.etcd.local.dataDir":        false,
		"kubernetes.clusterConfiguration.dns":                       false,
		"kubernetes.clusterConfiguration.dns.disabled":              false,
		"kubernetes.initConfiguration.skipPhases":                   false,
		"kubernetes.kubeletConfiguration.maxPods":                   true,
		"controlPlane.certSANs":                                     true,
		"controlPlane.bindPort":                                     false,
		"kubernetes.clusterConfiguration.dnsSomething":              true,
		"kubernetes.clusterConfiguration.certificateValidityPeriod": true,
	} {
		if why := (Difference{Field: field}).Unchangeable(); (why == "") != changeable {
			t.Errorf("%s: got %q", field, why)
		}
	}
}

package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the schema")

// inventories is the directory of the examples.
const inventories = "../../inventories"

func TestSchemaMatchesTheTypes(t *testing.T) {
	t.Parallel()
	const file = "schema.json"
	want := generateSchema(t)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs from the types; go test ./provision/config -run Schema -update writes it (-want +got):\n%s", file, diff)
	}
}

func TestSchemaAcceptsEachExample(t *testing.T) {
	t.Parallel()
	s := compile(t)
	for _, file := range examples(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(instance(t, data)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Each case is one edit away from a valid inventory. Parse rejects it too.
func TestSchemaRejects(t *testing.T) {
	t.Parallel()
	const good = "apiVersion: slipway.io/v1alpha1\nkind: Cluster\nhosts:\n- {name: a, address: 192.0.2.1, roles: [control-plane]}\n"
	s := compile(t)
	if err := s.Validate(instance(t, []byte(good))); err != nil {
		t.Fatalf("the valid inventory: %v", err)
	}
	if _, err := Parse("good.yaml", []byte(good)); err != nil {
		t.Fatalf("the valid inventory: %v", err)
	}
	for name, edit := range map[string][2]string{
		"another apiVersion":             {"slipway.io/v1alpha1", "slipway.io/v2"},
		"another kind":                   {"kind: Cluster", "kind: Machine"},
		"no kind":                        {"kind: Cluster\n", ""},
		"an unknown field":               {"kind: Cluster", "kind: Cluster\nfoo: 1"},
		"an unknown field of a host":     {"name: a", "name: a, adress: b"},
		"a host without address":         {"address: 192.0.2.1, ", ""},
		"a name that is not a DNS label": {"name: a", "name: A_1"},
		"an unknown role":                {"control-plane]", "control-plane, master]"},
		"roles that are not a list":      {"[control-plane]", "control-plane"},
		"no hosts":                       {"- {name: a, address: 192.0.2.1, roles: [control-plane]}", "  []"},
		"a port out of range":            {"name: a", "name: a, ssh: {port: 70000}"},
		"a port that is a string":        {"name: a", "name: a, ssh: {port: \"22\"}"},
		"a version without patch level":  {"kind: Cluster", "kind: Cluster\nkubernetes: {version: v1.36}"},
		"an unknown CNI":                 {"kind: Cluster", "kind: Cluster\nnetwork: {cni: {name: weave}}"},
		"an unknown backend":             {"kind: Cluster", "kind: Cluster\nnetwork: {cni: {backend: udp}}"},
		"an MTU out of range":            {"kind: Cluster", "kind: Cluster\nnetwork: {cni: {mtu: 100}}"},
		"an unknown cgroup driver":       {"kind: Cluster", "kind: Cluster\ncontainerd: {cgroupDriver: systemctl}"},
		"an unknown taint effect":        {"name: a", "name: a, taints: [{key: k, effect: No}]"},
		"a label that is a number":       {"name: a", "name: a, labels: {rack: 1}"},
		"a mirror without endpoint":      {"kind: Cluster", "kind: Cluster\ncontainerd: {mirrors: [{registry: docker.io, endpoints: []}]}"},
		"a check ignored for no reason":  {"kind: Cluster", "kind: Cluster\npreflight: {ignore: [{check: swap}]}"},
		"a typo in kubelet's fields":     {"kind: Cluster", "kind: Cluster\nkubernetes: {kubeletConfiguration: {maxPod: 1}}"},
		"a field that slipway owns":      {"kind: Cluster", "kind: Cluster\nkubernetes: {clusterConfiguration: {networking: {podSubnet: 10.0.0.0/16}}}"},
		"extraArgs as a mapping":         {"kind: Cluster", "kind: Cluster\nkubernetes: {clusterConfiguration: {apiServer: {extraArgs: {v: \"4\"}}}}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := bytes.Replace([]byte(good), []byte(edit[0]), []byte(edit[1]), 1)
			if bytes.Equal(bad, []byte(good)) {
				t.Fatal("the edit changes nothing")
			}
			if err := s.Validate(instance(t, bad)); err == nil {
				t.Errorf("the schema accepts\n%s", bad)
			}
			if _, err := Parse("bad.yaml", bad); err == nil {
				t.Errorf("Parse accepts\n%s", bad)
			}
		})
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance decodes YAML as an editor's schema checker does.
func instance(t *testing.T, data []byte) any {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(asJSON, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// examples returns all inventories in the directory.
func examples(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(inventories, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 6 {
		t.Fatalf("only %d inventories in %s", len(files), inventories)
	}
	return files
}

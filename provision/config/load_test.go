package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachExampleIsValid(t *testing.T) {
	t.Parallel()
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			c, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Validate(); err != nil {
				t.Errorf("valid when parsed, but then: %v", err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(data), "\n")
			path, ok := strings.CutPrefix(first, "# yaml-language-server: $schema=")
			if !ok {
				t.Fatal("does not begin with the comment by which editors find the schema")
			}
			found, err := os.ReadFile(filepath.Join(filepath.Dir(file), path))
			if err != nil || !bytes.Equal(found, Schema()) {
				t.Errorf("%s is not slipway's schema: %v", path, err)
			}
		})
	}
}

func TestAHostNeedsThreeLines(t *testing.T) {
	t.Parallel()
	c, err := Parse("inventory.yaml", []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - name: node-1
    address: 192.0.2.11
    roles: [control-plane]
  - name: node-2
    address: 192.0.2.12
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Cluster{
		APIVersion: APIVersion, Kind: Kind,
		Metadata: Metadata{Name: "kubernetes"},
		Network: Network{
			PodSubnet: "10.244.0.0/16", ServiceSubnet: "10.96.0.0/12", DNSDomain: "cluster.local",
			CNI: CNI{Name: "flannel", Backend: "vxlan"},
		},
		ControlPlane: ControlPlane{BindPort: 6443},
		Containerd:   Containerd{CgroupDriver: "systemd"},
		Hosts: []Host{
			{Name: "node-1", Address: "192.0.2.11", Roles: []Role{RoleControlPlane}},
			{Name: "node-2", Address: "192.0.2.12", Roles: []Role{RoleWorker}},
		},
		Backup: Backup{Directory: "/var/backups/slipway", Retention: 7},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := Parse("lab/bad.yaml", []byte(`apiVersion: slipway.io/v1
kind: Cluster
kubernetes:
  version: 1.30
  kubeletConfiguration:
    evictionHrad: {}
    maxPods: "200"
    failSwapOn: no
    shutdownGracePeriod: 10
podSubnet: 10.0.0.0/16
network:
  serviceSubnet: 10.96.1.0/16
  cni: {name: flanel}
hosts:
  - name: Node_1
    adress: 192.0.2.1
    roles: control-plane
  - name: b
    address: admin@192.0.2.2
    labels: {gpu: true}
    name: c
  - address: 192.0.2.3
ssh:
  port: 99999
`))
	want := []string{
		`lab/bad.yaml:1: apiVersion: unknown value "slipway.io/v1"; use slipway.io/v1alpha1`,
		`lab/bad.yaml:4: kubernetes.version: must be a string, not the number 1.30; quote it: "1.30"`,
		`lab/bad.yaml:6: kubernetes.kubeletConfiguration.evictionHrad: unknown field; did you mean evictionHard?`,
		`lab/bad.yaml:7: kubernetes.kubeletConfiguration.maxPods: must be a whole number, not the string "200"; remove the quotes`,
		`lab/bad.yaml:8: kubernetes.kubeletConfiguration.failSwapOn: no is a boolean in YAML 1.1 and a string in YAML 1.2; write true or false, or quote it`,
		`lab/bad.yaml:9: kubernetes.kubeletConfiguration.shutdownGracePeriod: must be a string, not a number`,
		`lab/bad.yaml:10: podSubnet: unknown field; it belongs in network.podSubnet`,
		`lab/bad.yaml:12: network.serviceSubnet: 10.96.1.0/16 is not the first address of the range; write 10.96.0.0/16`,
		`lab/bad.yaml:13: network.cni.name: unknown value "flanel"; did you mean flannel?`,
		`lab/bad.yaml:15: hosts[0].name: "Node_1" is not a DNS label; use at most 63 lower-case letters, digits and '-', beginning and ending with a letter or a digit`,
		`lab/bad.yaml:16: hosts[0].adress: unknown field; did you mean address?`,
		`lab/bad.yaml:17: hosts[0].roles: must be a list, not the string "control-plane"; write it as a list: [control-plane]`,
		`lab/bad.yaml:19: hosts[1].address: "admin@192.0.2.2" is not an address; write address: 192.0.2.2 and ssh: {user: admin}`,
		`lab/bad.yaml:20: hosts[1].labels.gpu: must be a string, not true; quote it: "true"`,
		`lab/bad.yaml:21: hosts[1].name: duplicate key; first defined on line 18; keep one of them`,
		`lab/bad.yaml:22: hosts[2].name: required field is missing; add it, for example name: node-1`,
		`lab/bad.yaml:24: ssh.port: 99999 is out of range; use 1 to 65535`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("got %T, want *Invalid", err)
	}
	if p := invalid.Problems[12]; p.Field != "hosts[1].address" || p.Line != 19 || p.Column != 14 {
		t.Errorf("the address stands at 19:14, not at %+v", p)
	}
}

func TestParseRejectsOtherFiles(t *testing.T) {
	t.Parallel()
	const good = "apiVersion: slipway.io/v1alpha1\nkind: Cluster\nhosts: [{name: a, address: 192.0.2.1, roles: [control-plane]}]\n"
	for name, test := range map[string]struct{ data, want string }{
		"an empty file":                {"# nothing\n", "x:1: the inventory is empty; create one with `slipway init`"},
		"broken YAML":                  {"kind: Cluster\nhosts: [\n", "x:2: invalid YAML: "},
		"a tab":                        {"kind:\n\tCluster\n", "found character that cannot start any token; indent with spaces, not tabs"},
		"a missing list":               {good + "containerd: {mirrors: [{registry: a}]}\n", "add it, for example endpoints: [https://"},
		"text instead of a number":     {good + "ssh: {port: ssh}\n", "x:4: ssh.port: must be a whole number, not the string \"ssh\"\n"},
		"a quoted number":              {good + "ssh: {port: '22'}\n", "not the string \"22\"; remove the quotes"},
		"a list":                       {"- a\n", "x:1: must be a mapping (key: value), not a list"},
		"two documents":                {good + "---\n" + good, "x:5: unexpected second document"},
		"an alias within itself":       {good + "metadata: &m {name: *m}\n", "x:4: metadata.name: must be a string, not a mapping"},
		"a merge within itself":        {good + "metadata: &m {<<: *m}\n", "x:4: metadata: alias *m contains itself"},
		"aliases without an end":       {good + "containerd: {config: &m {a: {<<: *m}}}\n", "nests deeper than 100"},
		"aliases that multiply":        {good + laughs(), "has more than 50000 values"},
		"a key that is a list":         {good + "[a]: b\n", "x:4: a key must be a string"},
		"a number instead of a string": {good + "metadata: {name: 0x10}\n", `x:4: metadata.name: must be a string, not the number 0x10; quote it: "0x10"`},
		"infinity":                     {good + "containerd: {config: {a: .inf}}\n", "x:4: containerd.config.a: .inf is not a number"},
		"a number too large":           {good + "ssh: {port: 99999999999999999999}\n", "x:4: ssh.port: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("x", []byte(test.data))
			if err == nil || !strings.Contains(err.Error()+"\n", test.want) {
				t.Errorf("want %q, got %v", test.want, err)
			}
		})
	}
}

// laughs is a short document with 10^6 values.
func laughs() string {
	text := "containerd: {config: {l0: &l0 [" + strings.Repeat("0,", 10) + "], "
	for i, name := range []string{"l1", "l2", "l3", "l4", "l5"} {
		below := "*l" + string(rune('0'+i)) + ","
		text += name + ": &" + name + " [" + strings.Repeat(below, 10) + "], "
	}
	return text + "}}\n"
}

func TestAnchorsAreFollowed(t *testing.T) {
	t.Parallel()
	c, err := Parse("x", []byte(`apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - {name: a, address: 192.0.2.1, roles: [control-plane], ssh: &edge {user: ops, port: 2200}}
  - {name: b, address: 192.0.2.2, ssh: *edge}
  - {name: c, address: 192.0.2.3, ssh: {<<: *edge, port: 22}}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := []SSH{c.Hosts[0].SSH, c.Hosts[1].SSH, c.Hosts[2].SSH}
	want := []SSH{{User: "ops", Port: 2200}, {User: "ops", Port: 2200}, {User: "ops", Port: 22}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWholeNumbersStayIntegersInOverrides(t *testing.T) {
	t.Parallel()
	c, err := Parse("x", []byte(`apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts: [{name: a, address: 192.0.2.1, roles: [control-plane], taints: []}]
containerd: {config: {n: 9007199254740993, f: 1.5, s: "1", b: true, none: null, list: [1]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"n": int64(9007199254740993), "f": 1.5, "s": "1", "b": true, "none": nil, "list": []any{int64(1)}}
	if diff := cmp.Diff(want, c.Containerd.Config); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c.Hosts[0].Taints == nil {
		t.Error("an empty list of taints is not the same as none given")
	}
}

func TestPathsAreRelativeToTheInventory(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	file := filepath.Join(dir, "inventory.yaml")
	const text = `apiVersion: slipway.io/v1alpha1
kind: Cluster
ssh: {identityFile: ~/.ssh/key, knownHostsFile: known_hosts}
artifacts: {bundle: ../bundle}
hosts: [{name: a, address: 192.0.2.1, roles: [control-plane], ssh: {identityFile: /etc/key}}]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.SSH.IdentityFile, c.SSH.KnownHostsFile, c.Artifacts.Bundle, c.Hosts[0].SSH.IdentityFile}
	want := []string{
		filepath.Join(home, ".ssh/key"), filepath.Join(dir, "known_hosts"),
		filepath.Join(filepath.Dir(dir), "bundle"), "/etc/key",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Parse("x", []byte(strings.Replace(text, "~/", "~root/", 1))); err == nil || !strings.Contains(err.Error(), "x:3: ssh.identityFile: ") {
		t.Errorf("~root is not expanded, so that it is a mistake: %v", err)
	}
}

func TestLoadSaysWhyAFileCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.yaml")
	if _, err := Load(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("want %v, got %v", os.ErrNotExist, err)
	}
	for _, path := range []string{missing, dir} {
		_, err := Load(path)
		if text := fmt.Sprint(err); !strings.HasPrefix(text, "inventory "+path+": ") || strings.Count(text, path) != 1 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range examples(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("kubernetes: {kubeletConfiguration: &a {<<: [*a, {x: yes}], 1: .nan, ? [a] : !!binary x}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data)
		var invalid *Invalid
		switch {
		case err == nil && c.Validate() != nil:
			t.Errorf("valid when parsed, but then: %v", c.Validate())
		case err != nil && !errors.As(err, &invalid):
			t.Errorf("got %T, want *Invalid: %v", err, err)
		case err != nil && (len(invalid.Problems) == 0 || invalid.Problems[0].Line == 0):
			t.Errorf("no problem, or one without line: %+v", invalid)
		}
	})
}

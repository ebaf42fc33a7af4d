package cluster

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
)

var update = flag.Bool("update", false, "update docs/changes.md")

func TestEachFieldHasAnOutcome(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, c := range FieldChanges() {
		listed = append(listed, c.Field)
		if c.Effect == "" {
			t.Errorf("%s has no effect", c.Field)
		}
	}
	if diff := cmp.Diff(config.Paths(), listed); diff != "" {
		t.Errorf("FieldChanges differs from the fields of the inventory (-fields +listed):\n%s", diff)
	}
}

func TestDocsListEachFieldChange(t *testing.T) {
	t.Parallel()
	const path = "../../docs/changes.md"
	want := changesPage()
	if *update {
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("docs/changes.md is out of date; run go test ./provision/cluster -update (-want +have):\n%s", diff)
	}
}

func changesPage() []byte {
	var b bytes.Buffer
	b.WriteString(`# Change a running cluster

This page is generated from the code with ` + "`go test ./provision/cluster -update`" + `.

Edit the inventory, look at ` + "`slipway plan`" + `, and run ` + "`slipway apply`" + `. Each changed field has one of two outcomes:

- **applied**: apply brings the cluster to the new value, and plan shows what changes.
- **refused**: preflight reports an error with the remedy, and nothing changes on any host.

` + "`slipway status`" + ` lists the differences of the settings, the version and the fields that cannot change.

| field | outcome | effect |
|---|---|---|
`)
	for _, c := range FieldChanges() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Field, c.Outcome, c.Effect)
	}
	return b.Bytes()
}

// edits are changes of the inventory, by the field that reports them.
var edits = map[string]string{
	"metadata.name":                     "metadata: {name: other}",
	"kubernetes.version":                "kubernetes: {version: 1.35.8}",
	"kubernetes.clusterConfiguration":   "kubernetes: {clusterConfiguration: {apiServer: {extraArgs: [{name: profiling, value: 'false'}]}}}",
	"kubernetes.initConfiguration":      "kubernetes: {initConfiguration: {skipPhases: [addon/kube-proxy]}}",
	"kubernetes.kubeletConfiguration":   "kubernetes: {kubeletConfiguration: {maxPods: 200}}",
	"kubernetes.kubeProxyConfiguration": "kubernetes: {kubeProxyConfiguration: {mode: nftables}}",
	"network.podSubnet":                 "network: {podSubnet: 10.32.0.0/16}",
	"network.serviceSubnet":             "network: {serviceSubnet: 10.33.0.0/16}",
	"network.dnsDomain":                 "network: {dnsDomain: other.example}",
	"network.cni.name":                  "network: {cni: {name: calico}}",
	"network.cni.backend":               "network: {cni: {backend: host-gw}}",
	"controlPlane.endpoint":             "controlPlane: {endpoint: api.example}",
	"controlPlane.bindPort":             "controlPlane: {bindPort: 6444}",
	"controlPlane.loadBalancer.type":    "controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: kube-vip}}",
	"controlPlane.certSANs":             "controlPlane: {certSANs: [api.example]}",
	"etcd.external.endpoints":           "etcd: {external: {endpoints: ['https://192.0.2.31:2379'], caFile: a, certFile: b, keyFile: c}}",
	"containerd.cgroupDriver":           "containerd: {cgroupDriver: cgroupfs}",
}

// before is the inventory of the cluster, by the field that is edited; empty for others.
var before = map[string]string{
	"controlPlane.loadBalancer.type": "controlPlane: {endpoint: 192.0.2.100}",
}

// Package preflight refuses changes of hosts, with their facts; the loader changes
// of the first two fields.
var elsewhereRefused = []string{"apiVersion", "kind", "hosts[].name", "hosts[].roles", "hosts[].nodeIP"}

func TestEachEditThatIsNotAppliedIsReported(t *testing.T) {
	t.Parallel()
	state := running(t, "")
	for _, c := range FieldChanges() {
		if c.Outcome == Applied || slices.Contains(elsewhereRefused, c.Field) {
			continue
		}
		t.Run(c.Field, func(t *testing.T) {
			t.Parallel()
			edited := inventory(t, edits[c.Field])
			found, err := running(t, before[c.Field]).Edits(edited)
			if err != nil || len(found) != 1 || !bytes.HasPrefix([]byte(found[0].Field), []byte(c.Field)) {
				t.Errorf("got %v, %v", found, err)
			}
			// The way back is no difference.
			after := running(t, edits[c.Field])
			if found, err := after.Edits(edited); err != nil || len(found) > 0 {
				t.Errorf("a cluster that was made so: got %v, %v", found, err)
			}
		})
	}
	if found, err := state.Edits(inventory(t, "")); err != nil || len(found) > 0 {
		t.Errorf("without an edit: got %v, %v", found, err)
	}
}

func inventory(t *testing.T, more string) *config.Cluster {
	t.Helper()
	c, err := config.Parse("inventory.yaml", []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]
`+more+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running is the state of a cluster that was made from an inventory. The API server
// adds defaults.
func running(t *testing.T, more string) *State {
	t.Helper()
	c := inventory(t, more)
	live, err := SettingsOf(c)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := SettingsOf(c)
	if err != nil {
		t.Fatal(err)
	}
	live[kubeletSection]["rotateCertificates"] = true
	live[clusterSection]["certificateValidityPeriod"] = "8760h0m0s"
	delete(live, initSection)
	return &State{Exists: true, Version: c.Kubernetes.NewVersion(), Fixed: FixedOf(c), Settings: live, Record: &Record{Fixed: FixedOf(c), Settings: recorded}}
}

package network

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// calicoManifest has what slipway changes of the published manifest.
const calicoManifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: calico-config, namespace: kube-system}
data: {veth_mtu: "0", calico_backend: BACKEND}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: calico-node}}
  template:
    metadata: {labels: {k8s-app: calico-node}}
    spec:
      initContainers:
        - {name: upgrade-ipam, image: quay.io/calico/cni:v3.32.1}
        - {name: install-cni, image: quay.io/calico/cni:v3.32.1, env: [{name: SLEEP, value: "false"}]}
      containers:
        - name: calico-node
          image: quay.io/calico/node:v3.32.1
          env: [{name: CALICO_IPV4POOL_VXLAN, value: CrossSubnet}, {name: CALICO_IPV4POOL_IPIP, value: Never}]
`

// calicoBundle is a bundle with Calico's manifests and CNI plugins.
func calicoBundle(t *testing.T) *bundle.Bundle {
	t.Helper()
	w, err := bundle.NewWriter(filepath.Join(t.TempDir(), "bundle"), workflowtest.Kubernetes, bundle.OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubelet", "cni/portmap", "cni/host-local"} {
		f := bundle.File{Name: name, Version: "v1.9.1", OS: "linux", Arch: "amd64", Path: bundle.BinPath("linux", "amd64", name)}
		if err := w.AddFile(t.Context(), f, strings.NewReader(name)); err != nil {
			t.Fatal(err)
		}
	}
	for file, backend := range map[string]string{"calico.yaml": "bird", "calico-vxlan.yaml": "vxlan"} {
		manifest := strings.NewReader(strings.ReplaceAll(calicoManifest, "BACKEND", backend))
		if err := w.AddManifest(t.Context(), bundle.AddonFile{Addon: config.CNICalico, Name: file, Version: "v3.32.1"}, manifest); err != nil {
			t.Fatal(err)
		}
	}
	made, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// environment of a container, by its list and name.
func environment(t *testing.T, daemonSet map[string]any, list, name string) map[string]any {
	t.Helper()
	pod := daemonSet["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	env := map[string]any{}
	for _, item := range pod[list].([]any) {
		container := item.(map[string]any)
		if container["name"] != name {
			continue
		}
		variables, _ := container["env"].([]any)
		for _, variable := range variables {
			env[variable.(map[string]any)["name"].(string)] = variable.(map[string]any)["value"]
		}
	}
	return env
}

func TestCalicoFollowsTheInventoryAndTheBundle(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, cni, backend, mtu string
		vxlan, ipip             string
	}{
		{"VXLAN is the default", "{name: calico}", "vxlan", "0", "Always", "Never"},
		{"IPIP, with an MTU", "{name: calico, backend: ipip, mtu: 1400}", "bird", "1400", "Never", "Always"},
		{"routes without encapsulation", "{name: calico, backend: bgp}", "bird", "0", "Never", "Never"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, server := served(t, one+"network: {podSubnet: 10.32.0.0/16, cni: "+test.cni+"}\n")
			fixture.Bundle = calicoBundle(t)
			fixture.MustApply(CNI())
			daemons := server.Get("/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node")
			want := map[string]any{
				"CALICO_IPV4POOL_CIDR": "10.32.0.0/16", "CALICO_IPV4POOL_VXLAN": test.vxlan, "CALICO_IPV4POOL_IPIP": test.ipip,
				"IP_AUTODETECTION_METHOD": "kubernetes-internal-ip",
			}
			if diff := cmp.Diff(want, environment(t, daemons, "containers", "calico-node")); diff != "" {
				t.Error(diff)
			}
			settings := server.Get("/api/v1/namespaces/kube-system/configmaps/calico-config")["data"]
			if diff := cmp.Diff(map[string]any{"veth_mtu": test.mtu, "calico_backend": test.backend}, settings); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Otherwise each start of calico-node replaces plugins, and each apply replaces them back.
func TestCalicoDoesNotReplaceThePluginsOfTheBundle(t *testing.T) {
	t.Parallel()
	fixture, server := served(t, one+"network: {cni: {name: calico}}\n")
	fixture.Bundle = calicoBundle(t)
	fixture.MustApply(CNI())
	daemons := server.Get("/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node")
	want := map[string]any{"SLEEP": "false", "SKIP_CNI_BINARIES": "host-local,portmap"}
	if diff := cmp.Diff(want, environment(t, daemons, "initContainers", "install-cni")); diff != "" {
		t.Error(diff)
	}
	if env := environment(t, daemons, "initContainers", "upgrade-ipam"); len(env) > 0 {
		t.Errorf("upgrade-ipam has %v", env)
	}
}

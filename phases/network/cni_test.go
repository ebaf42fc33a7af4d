package network

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

func served(t *testing.T, inventory string) (*workflowtest.Fixture, *kubetest.Server) {
	t.Helper()
	fixture, server := workflowtest.New(t, inventory), kubetest.New(t)
	fixture.Bundle = workflowtest.NewBundle(t)
	fixture.Serve(server)
	return fixture, server
}

func TestFlannelIsAppliedOnce(t *testing.T) {
	t.Parallel()
	fixture, server := served(t, one)
	fixture.MustApply(CNI())
	if got := len(fixture.Changes()); got != 6 {
		t.Errorf("changes %v", fixture.Changes())
	}
	if server.Get("/apis/apps/v1/namespaces/kube-flannel/daemonsets/kube-flannel-ds") == nil {
		t.Error("the DaemonSet does not exist")
	}
	fixture.MustApply(CNI())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

func TestFlannelFollowsTheInventoryAndTheBundle(t *testing.T) {
	t.Parallel()
	fixture, server := served(t, one+`
network: {podSubnet: 10.32.0.0/16, cni: {backend: host-gw, mtu: 1400}}
controlPlane: {endpoint: api.example}
`)
	fixture.MustApply(CNI())
	daemons := server.Get("/apis/apps/v1/namespaces/kube-flannel/daemonsets/kube-flannel-ds")
	pod := daemons["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	container := pod["containers"].([]any)[0].(map[string]any)
	if container["image"] != workflowtest.FlannelImage {
		t.Errorf("the image is %v", container["image"])
	}
	if plugin := pod["initContainers"].([]any)[0].(map[string]any); plugin["image"] != workflowtest.FlannelPluginImage {
		t.Errorf("the plugin's image is %v", plugin["image"])
	}
	env := map[string]any{}
	for _, entry := range container["env"].([]any) {
		entry := entry.(map[string]any)
		env[entry["name"].(string)] = entry["value"]
	}
	if env["KUBERNETES_SERVICE_HOST"] != "api.example" || env["KUBERNETES_SERVICE_PORT"] != "6443" {
		t.Errorf("the API server's address is %v", env)
	}
	config := server.Get("/api/v1/namespaces/kube-flannel/configmaps/kube-flannel-cfg")["data"].(map[string]any)["net-conf.json"].(string)
	if !strings.Contains(config, `"Network": "10.32.0.0/16"`) || !strings.Contains(config, `"Type": "host-gw"`) {
		t.Errorf("the configuration is %s", config)
	}
}

func TestNoPodNetworkIsInstalledIfTheInventoryHasNone(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one+"network: {cni: {name: none}}\n")
	fixture.MustApply(CNI())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changes %v", got)
	}
}

// Hosts pull them then.
func TestWithoutFlannelInTheBundleItsManifestHasTheImagesOfTheCatalogue(t *testing.T) {
	t.Parallel()
	fixture, server := served(t, one)
	fixture.Facts("cp-1").Arch = "arm64"
	fixture.MustApply(CNI())
	set := server.Get("/apis/apps/v1/namespaces/kube-flannel/daemonsets/kube-flannel-ds")
	if text := fmt.Sprint(set); !strings.Contains(text, "image:ghcr.io/flannel-io/flannel:v") {
		t.Error(text)
	}
}

func TestAPlanOfTheNetworkChangesNothing(t *testing.T) {
	t.Parallel()
	fixture, server := served(t, one)
	fixture.MustPlan(CNI())
	if diff := cmp.Diff(6, len(fixture.Changes())); diff != "" {
		t.Error(fixture.Changes())
	}
	if server.Get("/api/v1/namespaces/kube-flannel") != nil {
		t.Error("the plan has created the namespace")
	}
}

package nodes

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const kubeletConfigMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: kubelet-config, namespace: kube-system}
data:
  kubelet: |
    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    maxPods: 50
`

// Kubelets request certificates from the cluster if metrics-server verifies them,
// and sign their own otherwise.
func TestServingFollowsTheInventory(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		inventory, has string
		changes        int
		want           string
	}{
		"it is enabled":            {"addons: [{name: metrics-server}]\n", "maxPods: 50\n", 3, "serverTLSBootstrap: true"},
		"it is enabled already":    {"addons: [{name: metrics-server}]\n", "serverTLSBootstrap: true\n", 1, "serverTLSBootstrap: true"},
		"nothing needs it":         {"", "maxPods: 50\n", 0, "maxPods: 50"},
		"it is disabled":           {"", "maxPods: 50\nserverTLSBootstrap: true\n", 2, "serverTLSBootstrap: false"},
		"the inventory enables it": {"kubernetes: {kubeletConfiguration: {serverTLSBootstrap: true}}\n", "maxPods: 50\n", 3, "serverTLSBootstrap: true"},
		"the inventory forbids it": {"addons: [{name: metrics-server}]\nkubernetes: {kubeletConfiguration: {serverTLSBootstrap: false}}\n", "maxPods: 50\n", 0, "maxPods: 50"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"+test.inventory), kubetest.New(t)
			server.Put(kubeletConfigMap)
			fixture.Serve(server)
			fixture.Host("cp-1").Put(kubeletConfig, test.has)
			fixture.Facts("cp-1").Existing = []facts.Path{kubeletConfig}
			if test.changes > 1 {
				fixture.Host("cp-1").ExpectService("kubelet.service", kubeletFiles...)
			}
			// A plan, since no kubelet answers here.
			fixture.MustPlan(Serving())
			if got := fixture.Changes(); len(got) != test.changes {
				t.Errorf("the plan has %q, want %d changes", got, test.changes)
			}
			edited, _, err := withBootstrap([]byte(test.has), fixture.Cluster.ServerTLSBootstrap())
			if err != nil || !strings.Contains(string(edited), test.want) {
				t.Errorf("got %s, %v; want %s", edited, err, test.want)
			}
		})
	}
}

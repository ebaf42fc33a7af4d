package nodes

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestAHostOfEtcdGetsKubeletAndNoNodeFiles(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "hosts:\n- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n- {name: etcd-1, address: 192.0.2.31, roles: [etcd]}\n")
	fixture.Bundle = workflowtest.NewBundle(t)
	fixture.Selection.Hosts = []string{"etcd-1"}
	fixture.MustApply(Kubelet()) // etcd-host enables the service
	paths := strings.Join(fixture.Host("etcd-1").Paths(), " ")
	for _, want := range []string{"/usr/local/bin/kubelet", "/usr/local/bin/kubeadm", serviceFile} {
		if !strings.Contains(paths, want) {
			t.Errorf("no %s in %s", want, paths)
		}
	}
	for _, not := range []string{dropIn, "/opt/cni/bin/", "/usr/local/bin/kubectl"} {
		if strings.Contains(paths, not) {
			t.Errorf("%s in %s", not, paths)
		}
	}
}

//go:build e2e

package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
)

// podNetwork lets pods write on all hosts what those of Calico write, whose images
// cannot be pulled here. The next reset deletes it.
func (s *scenario) podNetwork(ctx context.Context, t *testing.T) {
	content, err := os.ReadFile("testdata/pod-network.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest := s.scratch + "/pod-network.yaml"
	write(t, manifest, strings.ReplaceAll(string(content), "VERSION", s.version(t)))
	s.hurt(ctx, t, "", []string{"apply", "-f", manifest})
	s.hurt(ctx, t, "", []string{"-n", "kube-system", "rollout", "status", "daemonset/pod-network", "--timeout=25s"})
	for _, m := range s.lab.names() {
		s.mustSSH(ctx, t, m, `test -s /etc/cni/net.d/calico-kubeconfig
			test -x /opt/cni/bin/calico-ipam
			nft list table arp calico-arp >/dev/null
			iptables -S cali-FORWARD >/dev/null
			ip link show vxlan.calico >/dev/null
			ip route show proto 80 | grep -q blackhole`)
	}
}

package kubeadm

import (
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
)

// Skips reports whether the inventory leaves out a phase of `kubeadm init`, such as
// "addon/kube-proxy": by skipPhases, or by disabling the addon (v1beta4).
func Skips(c *config.Cluster, phase string) bool {
	disabled := map[string]string{"addon/kube-proxy": "proxy", "addon/coredns": "dns"}
	if field, ok := disabled[phase]; ok {
		section, _ := c.Kubernetes.ClusterConfiguration[field].(map[string]any)
		if off, _ := section["disabled"].(bool); off {
			return true
		}
	}
	skipped, _ := c.Kubernetes.InitConfiguration["skipPhases"].([]any)
	parent, _, _ := strings.Cut(phase, "/")
	return slices.ContainsFunc(skipped, func(name any) bool {
		return name == phase || name == parent || name == parent+"/all"
	})
}

// HasData reports whether etcd on a host has data, or may have: if the inventory moves
// the data, the facts do not show whether there is any.
func HasData(c *config.Cluster, f *facts.Facts) bool {
	return f.Exists(facts.EtcdMember) || ownDataDir(c)
}

func ownDataDir(c *config.Cluster) bool {
	etcd, _ := c.Kubernetes.ClusterConfiguration["etcd"].(map[string]any)
	local, _ := etcd["local"].(map[string]any)
	dir, _ := local["dataDir"].(string)
	return dir != "" && dir != "/var/lib/etcd"
}

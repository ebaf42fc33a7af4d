package kubeadm

import (
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
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

// OwnDataDir reports whether the inventory moves the data of etcd: the facts of a host
// do not show whether there is any.
func OwnDataDir(c *config.Cluster) bool {
	etcd, _ := c.Kubernetes.ClusterConfiguration["etcd"].(map[string]any)
	local, _ := etcd["local"].(map[string]any)
	dir, _ := local["dataDir"].(string)
	return dir != "" && dir != "/var/lib/etcd"
}

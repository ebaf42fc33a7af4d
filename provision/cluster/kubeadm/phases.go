package kubeadm

import (
	"cmp"
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

// HasData reports whether etcd has data of the cluster of a host, or may have: if the
// inventory moves the data, or etcd runs elsewhere, the facts do not show whether there is
// any. An etcd that runs elsewhere has none before init has begun.
func HasData(c *config.Cluster, f *facts.Facts) bool {
	return f.Exists(facts.EtcdMember) || DataDir(c) != defaultDataDir || c.ExternalEtcd() && f.Joined()
}

// StartOver says how to remove a cluster that has no control plane but one, with its data,
// and to create another one. External etcd keeps the data when the host is reset, and the
// phase etcd-empty refuses it.
func StartOver(c *config.Cluster, controlPlane string) string {
	switch {
	case len(c.EtcdHosts()) > 0:
		return "slipway reset --yes, then slipway apply"
	case c.ExternalEtcd():
		return "slipway reset --yes --hosts " + controlPlane + ", then etcdctl del /registry/ --prefix, then slipway apply"
	default:
		return "slipway reset --yes --hosts " + controlPlane + ", then slipway apply"
	}
}

// defaultDataDir is kubeadm's.
const defaultDataDir = "/var/lib/etcd"

// DataDir returns the directory of etcd's data on a control plane.
func DataDir(c *config.Cluster) string {
	local, _ := etcdSection(c)["local"].(map[string]any)
	dir, _ := local["dataDir"].(string)
	return cmp.Or(dir, defaultDataDir)
}

func etcdSection(c *config.Cluster) map[string]any {
	section, _ := c.Kubernetes.ClusterConfiguration["etcd"].(map[string]any)
	return section
}

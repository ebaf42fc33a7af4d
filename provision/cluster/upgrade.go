package cluster

import (
	"slices"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
)

// Upgrade is what matters for another Kubernetes version. It is read only if the version
// is about to change.
type Upgrade struct {
	// Blocking are the pods that PodDisruptionBudgets do not let a drain evict now.
	Blocking []kube.Blocked
	// APIs are the deprecated APIs that clients have requested since the API servers
	// started.
	APIs []RequestedAPI
	// Unread holds, by control plane, why its API server did not say which.
	Unread map[string]string
	// Etcd is the health of all members, EtcdErr why none of them answered.
	Etcd    kube.EtcdHealth
	EtcdErr error
	// Err is why the budgets could not be read.
	Err error
}

// RequestedAPI is a deprecated API that clients have requested.
type RequestedAPI struct {
	kube.DeprecatedAPI
	// Servers are the control planes whose API servers were asked for it.
	Servers []string
}

// Requested adds what clients have requested from the API server of a control plane.
func (u *Upgrade) Requested(server string, apis []kube.DeprecatedAPI) {
	for _, api := range apis {
		i := slices.IndexFunc(u.APIs, func(known RequestedAPI) bool { return known.DeprecatedAPI == api })
		if i < 0 {
			i = len(u.APIs)
			u.APIs = append(u.APIs, RequestedAPI{DeprecatedAPI: api})
		}
		u.APIs[i].Servers = append(u.APIs[i].Servers, server)
	}
	slices.SortStableFunc(u.APIs, func(a, b RequestedAPI) int { return a.Compare(b.DeprecatedAPI) })
}

// NewVersion returns the Kubernetes version that the inventory gives the cluster, if the
// control plane or a node of the inventory has another one; else it is empty.
func (s *State) NewVersion(c *config.Cluster) string {
	wanted := c.Kubernetes.Version
	if wanted == "" || !s.Answers() || s.Version == "" {
		return ""
	}
	if s.Version != wanted {
		return wanted
	}
	for _, h := range c.Nodes() {
		if node := s.Node(h.Name); node != nil && node.Version != wanted {
			return wanted // an upgrade was interrupted
		}
	}
	return ""
}

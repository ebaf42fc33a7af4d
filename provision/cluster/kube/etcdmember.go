package kube

import (
	"net/url"
	"slices"
)

// IsMemberOf reports whether an etcd member is that of a host. A member has the name of
// its host once it has started. Before, only its peer URL shows the host.
func IsMemberOf(m EtcdMember, name string, addresses ...string) bool {
	if m.Name != "" {
		return m.Name == name
	}
	return slices.ContainsFunc(m.PeerURLs, func(peer string) bool {
		u, err := url.Parse(peer)
		return err == nil && u.Hostname() != "" && slices.Contains(addresses, u.Hostname())
	})
}

package kube

import (
	"net/url"
	"slices"
)

// Voters returns how many of the members vote. Learners do not count for the majority.
func Voters(members []EtcdMember) int {
	n := 0
	for _, m := range members {
		if !m.Learner {
			n++
		}
	}
	return n
}

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

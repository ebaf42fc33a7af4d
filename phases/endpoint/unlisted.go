package endpoint

import (
	"net/netip"
	"net/url"
	"slices"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// unlisted returns the addresses of the control planes that are members of etcd and were
// only deleted from the inventory: they still run, and may take the address of the
// endpoint. keepalived skips peers of another address family than its own.
func unlisted(s *workflow.Step, own netip.Addr) []string {
	state := s.Hosts().State()
	if state == nil || s.Cluster().ExternalEtcd() {
		return nil
	}
	var addresses []string
	for _, m := range state.Members {
		if listed(s, m) {
			continue
		}
		for _, peer := range m.PeerURLs {
			u, err := url.Parse(peer)
			if err != nil {
				continue
			}
			if a, err := netip.ParseAddr(u.Hostname()); err == nil && a != own && a.Is4() == own.Is4() {
				addresses = append(addresses, a.String())
			}
		}
	}
	return addresses
}

// listed reports whether a member is that of a host of the inventory. The hosts of a run
// may lack those that have just left the cluster, and its state may still have their members.
func listed(s *workflow.Step, m kube.EtcdMember) bool {
	if slices.ContainsFunc(s.Hosts().WithLeaving().All, func(h *workflow.Host) bool { return h.HasMember(m) }) {
		return true
	}
	for _, h := range s.Cluster().Leaving {
		if kube.IsMemberOf(m, h.Name, h.NodeIP, h.Address) {
			return true
		}
	}
	return false
}

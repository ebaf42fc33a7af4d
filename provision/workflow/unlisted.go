package workflow

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
)

// UnlistedControlPlane is a control plane that was only deleted from the inventory. It still
// runs, and may take the address of the endpoint.
type UnlistedControlPlane struct {
	// Name is that of its Node or its etcd member; empty if the member has never started and
	// there is no Node.
	Name string
	// Addresses are those of its Node and of its etcd member.
	Addresses []netip.Addr
}

// String returns the name with the addresses: "cp-2 (192.0.2.12)".
func (u UnlistedControlPlane) String() string {
	var addresses []string
	for _, address := range u.Addresses {
		addresses = append(addresses, address.String())
	}
	switch list := strings.Join(addresses, ", "); {
	case u.Name == "":
		return list
	case list == "":
		return u.Name
	default:
		return u.Name + " (" + list + ")"
	}
}

// Remedy says what lets the run know the control plane again.
func (u UnlistedControlPlane) Remedy() string {
	return "add " + u.String() + " to the inventory again: with state: absent if it should leave the cluster, or with state: lost if its machine is off for good"
}

// Unlisted returns the control planes that have a Node or a member of etcd, and that the
// inventory does not have. External etcd has no members of control planes.
func (h *Hosts) Unlisted(inventory *config.Cluster) []UnlistedControlPlane {
	state := h.State()
	if state == nil {
		return nil
	}
	var all []UnlistedControlPlane
	add := func(name string, addresses []netip.Addr) {
		i := slices.IndexFunc(all, func(u UnlistedControlPlane) bool {
			return name != "" && u.Name == name || slices.ContainsFunc(addresses, func(a netip.Addr) bool { return slices.Contains(u.Addresses, a) })
		})
		if i < 0 {
			all = append(all, UnlistedControlPlane{Name: name, Addresses: addresses})
			return
		}
		for _, a := range addresses {
			if !slices.Contains(all[i].Addresses, a) {
				all[i].Addresses = append(all[i].Addresses, a)
			}
		}
	}
	for _, node := range state.Nodes {
		if !node.ControlPlane || slices.Contains(inventory.Names(), node.Name) {
			continue
		}
		var addresses []netip.Addr
		for _, text := range node.Addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				addresses = append(addresses, a)
			}
		}
		add(node.Name, addresses)
	}
	if inventory.ExternalEtcd() {
		return all
	}
	for _, m := range state.Members {
		if !h.lists(inventory, m) {
			u := UnlistedMember(m)
			add(u.Name, u.Addresses)
		}
	}
	return all
}

// lists reports whether a member is that of a host of the inventory. The hosts of a run may
// lack those that have just left the cluster, and its state may still have their members.
func (h *Hosts) lists(inventory *config.Cluster, m kube.EtcdMember) bool {
	return slices.ContainsFunc(h.WithLeaving().All, func(host *Host) bool { return host.HasMember(m) }) ||
		slices.ContainsFunc(slices.Concat(inventory.Hosts, inventory.Leaving), func(spec config.Host) bool {
			return kube.IsMemberOf(m, spec.Name, spec.NodeIP, spec.Address)
		})
}

// UnlistedMember returns the control plane of a member that the inventory does not have,
// with the addresses in its peer URLs.
func UnlistedMember(m kube.EtcdMember) UnlistedControlPlane {
	unlisted := UnlistedControlPlane{Name: m.Name}
	for _, peer := range m.PeerURLs {
		u, err := url.Parse(peer)
		if err != nil {
			continue
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil {
			unlisted.Addresses = append(unlisted.Addresses, a)
		}
	}
	return unlisted
}

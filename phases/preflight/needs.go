package preflight

import (
	"net/netip"
	"slices"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
)

// Ports on which parts of the cluster listen: see config.Connections.
const (
	etcdClients = 2379
	etcdPeers   = 2380
	kubeletPort = 10250
)

// nodePort stands for all ports of NodePorts, 30000-32767.
const nodePort = 30000

// needs are the connections that this cluster requires.
func (cc *checkContext) needs() []netprobe.Need { return netprobe.Needs(cc.connections()) }

// connections are what the hosts accept of each other, and of others.
func (cc *checkContext) connections() []config.Connection {
	var all []config.Host
	for _, h := range cc.hosts.All {
		all = append(all, h.Config)
	}
	return cc.cluster.Connections(all)
}

// members are the hosts on which slipway runs etcd.
func (cc *checkContext) members() []config.Host {
	if cc.cluster.ExternalEtcd() {
		return cc.cluster.EtcdHosts()
	}
	return cc.cluster.ControlPlanes()
}

// isMember reports whether slipway runs etcd on the host.
func (cc *checkContext) isMember(name string) bool {
	return slices.ContainsFunc(cc.members(), func(h config.Host) bool { return h.Name == name })
}

// nodes are the hosts that can take part in the measurement.
func (cc *checkContext) nodes() []netprobe.Node {
	var nodes []netprobe.Node
	for _, h := range cc.reachable() {
		addr, err := h.NodeIP()
		if err != nil || !h.Facts().HasAddress(addr) {
			continue // node-address reports it
		}
		node := netprobe.Node{Name: h.Config.Name, Host: h.Conn, Arch: h.Facts().Arch, IP: addr, MTU: h.Facts().MTU(addr)}
		if cc.isMember(h.Config.Name) && !installed(h.Facts()) {
			node.DiskPath = "/var/lib"
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// installed reports whether kubelet is set up on the host.
func installed(f *facts.Facts) bool { return f.Exists(facts.KubeletConfig) }

// maxARPTargets bounds the addresses that ARP resolves: each is a broadcast to
// the network.
const maxARPTargets = 16

// arpTargets are addresses that must not be in use: the endpoint before the
// installation, and the first addresses of the load balancer's pools.
func (cc *checkContext) arpTargets() []netip.Addr {
	var all []netip.Addr
	if vip, ok := cc.virtualAddress(); ok {
		all = append(all, vip)
	}
	for _, pool := range cc.pools() {
		for a := pool.First; a.IsValid() && pool.Contains(a) && len(all) < maxARPTargets; a = a.Next() {
			if cc.onLink(a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// onLink reports whether the address is in a network of a host's interfaces:
// ARP resolves no other.
func (cc *checkContext) onLink(a netip.Addr) bool {
	for _, h := range cc.reachable() {
		for _, own := range h.Facts().Addresses {
			if own.Prefix.Contains(a) && own.Prefix.Bits() < 32 {
				return true
			}
		}
	}
	return false
}

// virtualAddress returns the address of the endpoint if no host has it and no host
// is installed yet.
func (cc *checkContext) virtualAddress() (netip.Addr, bool) {
	vip, err := netip.ParseAddr(cc.cluster.EndpointHost())
	if err != nil || !cc.onLink(vip) {
		return netip.Addr{}, false
	}
	for _, h := range cc.hosts.WithLeaving().All {
		if f := h.Facts(); f != nil && (f.HasAddress(vip) || installed(f)) {
			return netip.Addr{}, false
		}
	}
	return vip, true
}

// pools are the load balancer's addresses.
func (cc *checkContext) pools() []config.AddressRange { return cc.cluster.Pools() }

// clusterRange is an address range of the cluster and its field in the inventory.
type clusterRange struct {
	field  string
	prefix netip.Prefix
}

func (cc *checkContext) ranges() []clusterRange {
	var all []clusterRange
	for _, r := range [][2]string{{"network.podSubnet", cc.cluster.Network.PodSubnet}, {"network.serviceSubnet", cc.cluster.Network.ServiceSubnet}} {
		if prefix, err := netip.ParsePrefix(r[1]); err == nil {
			all = append(all, clusterRange{r[0], prefix})
		}
	}
	return all
}

// hasHost reports whether a host of the inventory has the address.
func (cc *checkContext) hasHost(a netip.Addr) bool {
	for _, h := range cc.reachable() {
		if h.Facts().HasAddress(a) {
			return true
		}
	}
	return false
}

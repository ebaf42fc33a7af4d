package preflight

import (
	"net/netip"
	"slices"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
)

// Ports that the cluster's parts use between hosts: the table "Ports and
// Protocols" of the Kubernetes documentation, and those of the pod networks.
const (
	etcdClients  = 2379
	etcdPeers    = 2380
	kubeletPort  = 10250
	nodePort     = 30000 // the first of 30000-32767, for all of them
	flannelVXLAN = 8472
	calicoVXLAN  = 4789
	calicoBGP    = 179
	memberlist   = 7946
)

// needs are the connections that this cluster requires.
func (cc *checkContext) needs() []netprobe.Need {
	var all []string
	for _, h := range cc.hosts.Nodes() {
		all = append(all, h.Config.Name)
	}
	planes := namesOf(cc.cluster.ControlPlanes())
	needs := []netprobe.Need{
		{Protocol: netprobe.TCP, Port: cc.cluster.ControlPlane.BindPort, Use: "API server", From: all, To: planes},
		{Protocol: netprobe.TCP, Port: nodePort, Use: "NodePorts 30000-32767", From: all, To: all},
	}
	if usesKeepalived(cc.cluster) {
		// The control planes also need IP protocol 112 (VRRP) of each other, which the
		// probe does not send.
		needs = append(needs, netprobe.Need{Protocol: netprobe.TCP, Port: endpointPortOf(cc.cluster), Use: "endpoint: haproxy", From: all, To: planes})
	}
	kubelet := netprobe.Need{Protocol: netprobe.TCP, Port: kubeletPort, Use: "kubelet: logs, exec", From: planes, To: all}
	if cc.cluster.Expects("metrics-server") {
		kubelet.From, kubelet.Use = all, "kubelet: logs, exec, metrics"
	}
	needs = append(needs, kubelet)
	if members := namesOf(cc.members()); len(members) > 1 || len(cc.cluster.EtcdHosts()) > 0 {
		needs = append(needs,
			netprobe.Need{Protocol: netprobe.TCP, Port: etcdClients, Use: "etcd clients", From: planes, To: members},
			netprobe.Need{Protocol: netprobe.TCP, Port: etcdPeers, Use: "etcd peers", From: members, To: members})
	}
	if cni := cc.cluster.Network.CNI; cni.Name == config.CNIFlannel && cni.Backend == config.BackendVXLAN {
		needs = append(needs, netprobe.Need{Protocol: netprobe.UDP, Port: flannelVXLAN, Use: "VXLAN of Flannel", From: all, To: all})
	}
	needs = append(needs, calicoNeeds(cc.cluster, all)...)
	if cc.cluster.Expects("load-balancer") {
		needs = append(needs,
			netprobe.Need{Protocol: netprobe.TCP, Port: memberlist, Use: "members of the load balancer", From: all, To: all},
			netprobe.Need{Protocol: netprobe.UDP, Port: memberlist, Use: "members of the load balancer", From: all, To: all})
	}
	return needs
}

// calicoNeeds are the connections of Calico between all nodes. Which ones a Calico needs that slipway does not install is
// not known.
func calicoNeeds(c *config.Cluster, all []string) []netprobe.Need {
	vxlan := netprobe.Need{Protocol: netprobe.UDP, Port: calicoVXLAN, Use: "VXLAN of Calico", From: all, To: all}
	bgp := netprobe.Need{Protocol: netprobe.TCP, Port: calicoBGP, Use: "BGP of Calico", From: all, To: all}
	switch cni := c.Network.CNI; {
	case cni.Name == config.CNICalico && cni.Backend == config.BackendVXLAN:
		return []netprobe.Need{vxlan}
	case cni.Name == config.CNICalico:
		return []netprobe.Need{bgp}
	case c.Expects("calico"):
		return []netprobe.Need{vxlan, bgp}
	}
	return nil
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

func namesOf(hosts []config.Host) []string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.Name)
	}
	return all
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

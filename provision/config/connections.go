package config

import "slices"

// Ports that the cluster's parts use between hosts: the table "Ports and Protocols" of
// the Kubernetes documentation, and those of the pod networks.
const (
	etcdClients   = 2379
	etcdPeers     = 2380
	kubeletPort   = 10250
	firstNodePort = 30000
	lastNodePort  = 32767
	flannelVXLAN  = 8472
	calicoVXLAN   = 4789
	calicoBGP     = 179
	memberlist    = 7946
	httpPort      = 80
	httpsPort     = 443
)

// The protocols of a Connection. VRRP and IPIP have no ports.
const (
	ProtocolTCP  = "tcp"
	ProtocolUDP  = "udp"
	ProtocolVRRP = "vrrp"
	ProtocolIPIP = "ipip"
)

// Connection is what hosts accept for the cluster.
type Connection struct {
	// Use is the purpose: "API server", "VXLAN of Flannel".
	Use      string
	Protocol string
	// First and Last are the ports, both 0 for a protocol without ports.
	First, Last int
	// From are the hosts that connect, To those that accept, by their names. Anyone:
	// others connect, too.
	From, To []string
	Anyone   bool
}

// ManagesFirewall reports whether slipway opens the firewall of a host.
func (c *Cluster) ManagesFirewall(h Host) bool {
	if h.Firewall != "" {
		return h.Firewall != FirewallLeave
	}
	return c.Firewall != FirewallLeave
}

// Connections returns what hosts of the cluster accept of each other, and of others.
func (c *Cluster) Connections(hosts []Host) []Connection {
	var nodes, planes, members []string
	for _, h := range hosts {
		if !h.Has(RoleEtcd) {
			nodes = append(nodes, h.Name)
		}
		if h.Has(RoleControlPlane) {
			planes = append(planes, h.Name)
		}
		if h.Has(RoleEtcd) || !c.ExternalEtcd() && h.Has(RoleControlPlane) {
			members = append(members, h.Name)
		}
	}
	var all []Connection
	add := func(use, protocol string, port int, from, to []string) *Connection {
		all = append(all, Connection{Use: use, Protocol: protocol, First: port, Last: port, From: from, To: to})
		return &all[len(all)-1]
	}
	keepalived := c.ControlPlane.LoadBalancer.Type == LoadBalancerKeepalived
	// Behind keepalived, everybody uses the endpoint.
	add("API server", ProtocolTCP, c.ControlPlane.BindPort, nodes, planes).Anyone = !keepalived
	nodePorts := add("NodePorts 30000-32767", ProtocolTCP, firstNodePort, nodes, nodes)
	nodePorts.Last, nodePorts.Anyone = lastNodePort, true
	if keepalived {
		add("endpoint: haproxy", ProtocolTCP, c.EndpointPort(), nodes, planes).Anyone = true
	}
	if c.Expects("metrics-server") {
		add("kubelet: logs, exec, metrics", ProtocolTCP, kubeletPort, nodes, nodes)
	} else {
		add("kubelet: logs, exec", ProtocolTCP, kubeletPort, planes, nodes)
	}
	if len(members) > 1 || c.ExternalEtcd() && len(members) > 0 {
		add("etcd clients", ProtocolTCP, etcdClients, planes, members)
		add("etcd peers", ProtocolTCP, etcdPeers, members, members)
	}
	if cni := c.Network.CNI; cni.Name == CNIFlannel && cni.Backend == BackendVXLAN {
		add("VXLAN of Flannel", ProtocolUDP, flannelVXLAN, nodes, nodes)
	}
	// The backend of a Calico that slipway does not install is not known.
	others := c.Network.CNI.Name != CNICalico && c.Expects(CNICalico)
	vxlan := c.Network.CNI.Name == CNICalico && c.Network.CNI.Backend == BackendVXLAN
	if vxlan || others {
		add("VXLAN of Calico", ProtocolUDP, calicoVXLAN, nodes, nodes)
	}
	if !vxlan && c.Expects(CNICalico) {
		add("BGP of Calico", ProtocolTCP, calicoBGP, nodes, nodes)
	}
	if c.Expects("load-balancer") {
		add("members of the load balancer", ProtocolTCP, memberlist, nodes, nodes)
		add("members of the load balancer", ProtocolUDP, memberlist, nodes, nodes)
	}
	return slices.Concat(all, c.unmeasured(nodes, planes))
}

// unmeasured are the connections that netprobe does not try: it sends TCP and UDP
// between hosts.
func (c *Cluster) unmeasured(nodes, planes []string) []Connection {
	all := []Connection{{
		Use: "NodePorts 30000-32767", Protocol: ProtocolUDP, First: firstNodePort, Last: lastNodePort, To: nodes, Anyone: true,
	}}
	if c.ControlPlane.LoadBalancer.Type == LoadBalancerKeepalived {
		all = append(all, Connection{Use: "keepalived", Protocol: ProtocolVRRP, From: planes, To: planes})
	}
	if c.Network.CNI.Name == CNICalico && c.Network.CNI.Backend == BackendIPIP {
		all = append(all, Connection{Use: "IPIP of Calico", Protocol: ProtocolIPIP, From: nodes, To: nodes})
	}
	if c.Expects("ingress") || c.Expects(AddonIngressNginx) {
		for _, port := range []int{httpPort, httpsPort} {
			all = append(all, Connection{Use: "ingress", Protocol: ProtocolTCP, First: port, Last: port, To: nodes, Anyone: true})
		}
	}
	return all
}

package config

import (
	"net"
	"slices"
	"strconv"
)

// endpointPort is the port of an endpoint that names none.
const endpointPort = "6443"

// HAProxyStatePort is the port of the loopback interface on which haproxy tells
// keepalived its state.
const HAProxyStatePort = 10241

// Has returns whether the host has the role.
func (h Host) Has(role Role) bool { return slices.Contains(h.Roles, role) }

// Stays returns whether the host is to be in the cluster.
func (h Host) Stays() bool { return h.State == "" || h.State == StatePresent }

// ControlPlanes returns the control planes that stay in the cluster in the order of the
// inventory.
func (c *Cluster) ControlPlanes() []Host { return c.with(RoleControlPlane) }

// Workers returns the workers that stay in the cluster in the order of the inventory,
// including those that are also control planes.
func (c *Cluster) Workers() []Host { return c.with(RoleWorker) }

// EtcdHosts returns the hosts that run etcd and are not nodes, in the order of the
// inventory.
func (c *Cluster) EtcdHosts() []Host { return c.with(RoleEtcd) }

// ExternalEtcd reports whether etcd does not run on the control planes: it runs on hosts
// with the role etcd, or exists already.
func (c *Cluster) ExternalEtcd() bool {
	return len(c.Etcd.External.Endpoints) > 0 || len(c.EtcdHosts()) > 0
}

// Nodes returns the hosts that are nodes of the cluster, in the order of the inventory.
func (c *Cluster) Nodes() []Host {
	return slices.DeleteFunc(slices.Clone(c.Hosts), func(h Host) bool { return h.Has(RoleEtcd) })
}

func (c *Cluster) with(role Role) []Host {
	var hosts []Host
	for _, h := range c.Hosts {
		if h.Has(role) && h.Stays() {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Host returns the host with that name; ok is false if there is none.
func (c *Cluster) Host(name string) (h Host, ok bool) {
	i := slices.IndexFunc(c.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return Host{}, false
	}
	return c.Hosts[i], true
}

// Endpoint returns "host:port" of the API server: controlPlane.endpoint with its
// port, or the first control plane's address with bindPort.
func (c *Cluster) Endpoint(firstNodeIP string) string {
	endpoint := c.ControlPlane.Endpoint
	if endpoint == "" {
		return net.JoinHostPort(firstNodeIP, strconv.Itoa(c.ControlPlane.BindPort))
	}
	return WithPort(endpoint)
}

// HAProxy reports whether slipway runs haproxy on the port of the endpoint.
func (c *Cluster) HAProxy() bool {
	kind := c.ControlPlane.LoadBalancer.Type
	return kind == LoadBalancerKeepalived || kind == LoadBalancerLocal
}

// VirtualIP reports whether the control planes share the address of the endpoint.
func (c *Cluster) VirtualIP() bool {
	kind := c.ControlPlane.LoadBalancer.Type
	return kind == LoadBalancerKeepalived || kind == LoadBalancerKubeVIP
}

// Names returns the names of all hosts of the inventory, also of those that leave the
// cluster.
func (c *Cluster) Names() []string {
	var names []string
	for _, h := range slices.Concat(c.Hosts, c.Leaving) {
		names = append(names, h.Name)
	}
	return names
}

// Lost returns the hosts that do not exist any more, and that apply removes from the
// cluster.
func (c *Cluster) Lost() []Host { return c.leaving(StateLost) }

// Absent returns the hosts that apply removes from the cluster and resets.
func (c *Cluster) Absent() []Host { return c.leaving(StateAbsent) }

func (c *Cluster) leaving(state string) []Host {
	return slices.DeleteFunc(slices.Clone(c.Leaving), func(h Host) bool { return h.State != state })
}

// separateLeaving moves the hosts that leave the cluster from Hosts to Leaving.
func (c *Cluster) separateLeaving() {
	var stay []Host
	for _, h := range c.Hosts {
		if h.Stays() {
			stay = append(stay, h)
		} else {
			c.Leaving = append(c.Leaving, h)
		}
	}
	c.Hosts = stay
}

// WithPort adds the default port 6443 to an endpoint of the API server that has
// none.
func WithPort(endpoint string) string {
	if _, _, err := net.SplitHostPort(endpoint); err == nil {
		return endpoint
	}
	return net.JoinHostPort(endpoint, endpointPort)
}

// EndpointPort returns the port of the endpoint; 0 if it has none that is valid.
func (c *Cluster) EndpointPort() int {
	_, text, _ := net.SplitHostPort(WithPort(c.ControlPlane.Endpoint))
	port, _ := strconv.Atoi(text)
	return port
}

// DefaultTaints returns the taints with which the host joins: those of the
// inventory, even an empty list, else kubeadm's NoSchedule for a control plane that
// is not also a worker. It never returns nil, for which kubeadm applies its own
// default.
func (c *Cluster) DefaultTaints(h Host) []Taint {
	switch {
	case h.Taints != nil:
		return h.Taints
	case h.Has(RoleControlPlane) && !h.Has(RoleWorker):
		return []Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}}
	}
	return []Taint{}
}

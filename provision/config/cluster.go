package config

import (
	"net"
	"slices"
)

// apiServerPort is kubeadm's default bindPort.
const apiServerPort = "6443"

// Has returns whether the host has the role.
func (h Host) Has(role Role) bool { return slices.Contains(h.Roles, role) }

// ControlPlanes returns the control planes in the order of the inventory. kubeadm
// init runs on the first one.
func (c *Cluster) ControlPlanes() []Host { return c.with(RoleControlPlane) }

// Workers returns the workers in the order of the inventory, including those that
// are also control planes.
func (c *Cluster) Workers() []Host { return c.with(RoleWorker) }

func (c *Cluster) with(role Role) []Host {
	var hosts []Host
	for _, h := range c.Hosts {
		if h.Has(role) {
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

// Endpoint returns "host:port" of the API server: controlPlane.endpoint, or the
// first control plane's address. The default port is 6443.
func (c *Cluster) Endpoint(firstNodeIP string) string {
	endpoint := c.ControlPlane.Endpoint
	if endpoint == "" {
		return net.JoinHostPort(firstNodeIP, apiServerPort)
	}
	return WithPort(endpoint)
}

// WithPort adds the default port 6443 to an endpoint of the API server that has
// none.
func WithPort(endpoint string) string {
	if _, _, err := net.SplitHostPort(endpoint); err == nil {
		return endpoint
	}
	return net.JoinHostPort(endpoint, apiServerPort)
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

package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// apiServerPort is where the API server listens (kubeadm's default bindPort).
const apiServerPort = "6443"

// dnsIndex is the place of the cluster's DNS in the service subnet
// (kubeadm, constants.GetDNSIP).
const dnsIndex = 10

// Has says whether the host has the role.
func (h Host) Has(role Role) bool { return slices.Contains(h.Roles, role) }

// ControlPlanes are the hosts with that role, in the inventory's order. The
// first one is where kubeadm init runs.
func (c *Cluster) ControlPlanes() []Host { return c.with(RoleControlPlane) }

// Workers are the hosts with that role, in the inventory's order; control
// planes that also take work are among them.
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

// Host is the host of that name; ok is false if there is none.
func (c *Cluster) Host(name string) (h Host, ok bool) {
	i := slices.IndexFunc(c.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return Host{}, false
	}
	return c.Hosts[i], true
}

// Endpoint is "host:port" of the API server: controlPlane.endpoint, whose port
// is 6443 where it has none, else the first control plane's address, on 6443.
func (c *Cluster) Endpoint(firstNodeIP string) string {
	endpoint := c.ControlPlane.Endpoint
	if endpoint == "" {
		return net.JoinHostPort(firstNodeIP, apiServerPort)
	}
	if _, _, err := net.SplitHostPort(endpoint); err == nil {
		return endpoint
	}
	return net.JoinHostPort(endpoint, apiServerPort)
}

// ServiceDNS is the address of the cluster's DNS: the 10th of the service
// subnet, as kubeadm chooses it.
func (c *Cluster) ServiceDNS() (string, error) {
	subnet, err := netip.ParsePrefix(c.Network.ServiceSubnet)
	if err != nil {
		return "", fmt.Errorf("address of the cluster's DNS: %w", err)
	}
	addr := subnet.Masked().Addr()
	for range dnsIndex {
		addr = addr.Next()
	}
	if !subnet.Contains(addr) {
		return "", fmt.Errorf("address of the cluster's DNS: %s has no %dth address", subnet, dnsIndex)
	}
	return addr.String(), nil
}

// DefaultTaints are the taints with which the host joins: its own, even an
// empty list of them; else kubeadm's NoSchedule for a control plane that is
// not a worker too. Never nil, since kubeadm takes nil for its own default.
func (c *Cluster) DefaultTaints(h Host) []Taint {
	switch {
	case h.Taints != nil:
		return h.Taints
	case h.Has(RoleControlPlane) && !h.Has(RoleWorker):
		return []Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}}
	}
	return []Taint{}
}

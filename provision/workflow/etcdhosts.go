package workflow

import (
	"errors"
	"net"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
)

// etcdPort is where the members of etcd listen for clients.
const etcdPort = "2379"

// EtcdSeed is the host whose CA of etcd the other hosts with the role etcd get: one that
// has it, or the first that can be reached. It is nil without such a host.
func (h *Hosts) EtcdSeed() *Host {
	for _, has := range []func(*Host) bool{
		func(h *Host) bool { return h.Unreachable() == nil && hasEtcdAuthority(h) },
		func(h *Host) bool { return h.Unreachable() == nil },
		func(*Host) bool { return true },
	} {
		for _, host := range h.EtcdHosts() {
			if has(host) {
				return host
			}
		}
	}
	return nil
}

// hasEtcdAuthority reports whether the host has the CA of etcd with its key.
func hasEtcdAuthority(h *Host) bool {
	if h.Facts() == nil {
		return false
	}
	for _, file := range kubeadm.EtcdAuthority() {
		if !h.Facts().Kubernetes.Intact(file.Path) {
			return false
		}
	}
	return true
}

// EtcdEndpoints returns the client URLs of an etcd that does not run on the control
// planes: those that the cluster has, else those of the inventory. It is nil if etcd runs
// on the control planes. The error is why the URLs of some hosts are missing.
func (h *Hosts) EtcdEndpoints(c *config.Cluster) ([]string, error) {
	if state := h.State(); state != nil && len(state.EtcdEndpoints) > 0 {
		return state.EtcdEndpoints, nil
	}
	if len(c.Etcd.External.Endpoints) > 0 {
		return c.Etcd.External.Endpoints, nil
	}
	var endpoints []string
	var errs []error
	for _, host := range h.EtcdHosts() {
		ip, err := host.NodeIP()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		endpoints = append(endpoints, "https://"+net.JoinHostPort(ip.String(), etcdPort))
	}
	return endpoints, errors.Join(errs...)
}

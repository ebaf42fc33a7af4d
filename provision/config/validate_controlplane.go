package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

func (v *validator) controlPlane() {
	v.countControlPlanes()
	const endpoint = "controlPlane.endpoint"
	host := v.c.EndpointHost()
	ip, err := netip.ParseAddr(host)
	switch {
	case v.c.ControlPlane.Endpoint == "":
	case strings.Contains(v.c.ControlPlane.Endpoint, "://"):
		v.report(endpoint, "write host:port", "%q is a URL", v.c.ControlPlane.Endpoint)
	case err == nil && !ip.Is4():
		v.report(endpoint, "write an IPv4 address or a DNS name", "IPv6 is not supported")
	case err == nil && !ip.IsGlobalUnicast():
		v.report(endpoint, "write an address that all hosts can reach", "%s is not reachable from other hosts", ip)
	case !isHostPort(v.c.ControlPlane.Endpoint):
		v.report(endpoint, "write host or host:port, such as api.cluster.example:6443",
			"%q is not a host or host:port", v.c.ControlPlane.Endpoint)
	}
	v.loadBalancer()
	v.freePort("controlPlane.bindPort", v.c.ControlPlane.BindPort)
	for i, san := range v.c.ControlPlane.CertSANs {
		_, err := netip.ParseAddr(san)
		if err != nil && !isName(san) && len(validation.IsWildcardDNS1123Subdomain(san)) > 0 {
			v.report(item("controlPlane.certSANs", i), "write an IP address or a lower-case DNS name without a port",
				"%q is neither an IP address nor a DNS name", san)
		}
	}
}

// loadBalancer checks the fields of the load balancer against each other.
func (v *validator) loadBalancer() {
	const at = "controlPlane.loadBalancer"
	balancer, endpoint := v.c.ControlPlane.LoadBalancer, v.c.ControlPlane.Endpoint
	if endpoint == "" {
		if balancer.Type != "" {
			v.report("controlPlane.endpoint", "add the address that the control planes share, or a name", "the load balancer %s needs an endpoint", balancer.Type)
		}
		return
	}
	_, err := netip.ParseAddr(v.c.EndpointHost())
	if v.c.VirtualIP() {
		if err != nil {
			v.report("controlPlane.endpoint", "write a free IPv4 address in the network segment of the control planes",
				"%s assigns an address, and %q is a name", balancer.Type, v.c.EndpointHost())
		}
		for _, h := range v.c.Hosts {
			if h.Address == v.c.EndpointHost() || h.NodeIP == v.c.EndpointHost() {
				v.report("controlPlane.endpoint", "write an address that no host has", "it is the address of host %s", h.Name)
			}
		}
	}
	if balancer.Type == LoadBalancerLocal && err == nil {
		v.report("controlPlane.endpoint", "write a DNS name: each host resolves it to itself", "the load balancer local needs a name, and %q is an address", v.c.EndpointHost())
	}
	if balancer.VirtualRouterID != 0 && balancer.Type != LoadBalancerKeepalived {
		v.report(at+".virtualRouterID", "remove it, or set type: keepalived", "only keepalived has a virtual router ID")
	}
	_, port, _ := net.SplitHostPort(WithPort(endpoint))
	if v.c.HAProxy() && port == strconv.Itoa(v.c.ControlPlane.BindPort) {
		v.report("controlPlane.bindPort", "choose another port, such as 6444", "haproxy owns port %s of the endpoint: the API servers cannot listen there too", port)
	}
	if number, err := strconv.Atoi(port); err == nil && v.c.HAProxy() {
		v.freePort("controlPlane.endpoint", number)
	}
	if balancer.Type == LoadBalancerKubeVIP && port != strconv.Itoa(v.c.ControlPlane.BindPort) {
		v.report("controlPlane.bindPort", "set it to the port of the endpoint", "kube-vip only moves the address: the API servers must listen on port %s", port)
	}
}

// freePort reports a port on which something else of the cluster listens.
func (v *validator) freePort(at string, port int) {
	owner := map[int]string{
		2379: "etcd", 2380: "etcd", 2381: "etcd", 10248: "kubelet", 10249: "kube-proxy", 10250: "kubelet", 10256: "kube-proxy",
		10257: "kube-controller-manager", 10259: "kube-scheduler",
	}[port]
	if port == HAProxyStatePort && v.c.ControlPlane.LoadBalancer.Type == LoadBalancerKeepalived {
		owner = "haproxy, which tells keepalived its state there"
	}
	if owner != "" {
		v.report(at, "choose another port, such as 6443 or 6444", "port %d belongs to %s", port, owner)
	}
}

// countControlPlanes reports nothing while a role is invalid: it may be a
// misspelt control-plane.
func (v *validator) countControlPlanes() {
	if len(v.c.Hosts) == 0 {
		return
	}
	for i, h := range v.c.Hosts {
		if roles := item("hosts", i) + ".roles"; v.isBroken(roles) || v.misspelt[roles] {
			return
		}
		for _, role := range h.Roles {
			if role != RoleControlPlane && role != RoleWorker && role != RoleEtcd {
				return
			}
		}
	}
	n := len(v.c.ControlPlanes())
	leaves := slices.ContainsFunc(v.c.Hosts, func(h Host) bool { return h.Has(RoleControlPlane) && !h.Stays() })
	switch {
	case n == 0:
		v.report("hosts", "add roles: [control-plane] to a host", "no host is a control plane")
	case n%2 == 0 && !leaves && !v.c.ExternalEtcd() && !v.c.Ignores(CheckEvenEtcd):
		// Those that are left when one leaves are better than a dead one: the check warns.
		v.report("hosts", fmt.Sprintf("use %d or %d, or list a control plane that was removed with its state, or add the check %s to preflight.ignore while you scale", n-1, n+1, CheckEvenEtcd),
			"%d control planes tolerate no more failures than %d: etcd needs a majority", n, n-1)
	}
	etcd, _ := v.c.Kubernetes.ClusterConfiguration["etcd"].(map[string]any)
	local, _ := etcd["local"].(map[string]any)
	if local["dataDir"] != nil && (n > 1 || leaves) {
		v.report("kubernetes.clusterConfiguration.etcd.local.dataDir", "remove it: mount a disk at /var/lib/etcd instead",
			"with several control planes, the data of etcd must be in /var/lib/etcd, where slipway looks for it before it adds or removes a member")
	}
	if n > 1 && v.c.ControlPlane.Endpoint == "" {
		v.report("controlPlane.endpoint", "for a new cluster, add the name or address of a load balancer, or a virtual IP address; a cluster that exists without an endpoint cannot get one that is highly available: see docs/nodes.md#a-cluster-without-an-endpoint",
			"%d control planes need a shared endpoint", n)
	}
}

// EvenControlPlanes says what an even number of control planes tolerates; empty if the
// number is odd, or etcd does not run on them.
func (c *Cluster) EvenControlPlanes() string {
	n := len(c.ControlPlanes())
	if n%2 == 1 || c.ExternalEtcd() {
		return ""
	}
	tolerates := "no further failure"
	if n > 2 {
		tolerates = fmt.Sprintf("no more failures than with %d", n-1)
	}
	return fmt.Sprintf("etcd needs %d of %d control planes: the cluster tolerates %s until another control plane is added", n/2+1, n, tolerates)
}

// EndpointHost returns the host of controlPlane.endpoint; empty if there is none.
func (c *Cluster) EndpointHost() string {
	if host, _, err := net.SplitHostPort(c.ControlPlane.Endpoint); err == nil {
		return host
	}
	return c.ControlPlane.Endpoint
}

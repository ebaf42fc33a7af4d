package config

import (
	"fmt"
	"net"
	"net/netip"
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
		v.report(endpoint, "write host:port alone", "%q is a URL", v.c.ControlPlane.Endpoint)
	case err == nil && !ip.Is4():
		v.report(endpoint, "write an IPv4 address or a DNS name", "IPv6 is not supported yet")
	case err == nil && !ip.IsGlobalUnicast():
		v.report(endpoint, "write an address that all hosts reach", "%s is of no use to other hosts", ip)
	case !isHostPort(v.c.ControlPlane.Endpoint):
		v.report(endpoint, "write host or host:port, such as api.cluster.example:6443",
			"%q is not a host with a port", v.c.ControlPlane.Endpoint)
	}
	for i, san := range v.c.ControlPlane.CertSANs {
		_, err := netip.ParseAddr(san)
		if err != nil && !isName(san) && len(validation.IsWildcardDNS1123Subdomain(san)) > 0 {
			v.report(item("controlPlane.certSANs", i), "write an IP address or a DNS name, in lower case and without port",
				"%q is neither an IP address nor a DNS name", san)
		}
	}
}

// countControlPlanes says nothing while a role is unknown: it might be the one
// that is looked for.
func (v *validator) countControlPlanes() {
	if len(v.c.Hosts) == 0 {
		return
	}
	for i, h := range v.c.Hosts {
		if roles := item("hosts", i) + ".roles"; v.isBroken(roles) || v.misspelt[roles] {
			return
		}
		for _, role := range h.Roles {
			if role != RoleControlPlane && role != RoleWorker {
				return
			}
		}
	}
	n := len(v.c.ControlPlanes())
	switch {
	case n == 0:
		v.report("hosts", "add roles: [control-plane] to a host", "no host is a control plane")
	case n%2 == 0 && !v.ignores(CheckEvenEtcd):
		v.report("hosts", fmt.Sprintf("use %d or %d, or name the check %s in preflight.ignore on the way there", n-1, n+1, CheckEvenEtcd),
			"%d control planes survive the loss of no more machines than %d do: etcd needs a majority", n, n-1)
	}
	if n > 1 && v.c.ControlPlane.Endpoint == "" {
		v.report("controlPlane.endpoint", "add the name or the address of a load balancer before them, or a virtual address",
			"%d control planes need one endpoint, by which hosts reach whichever of them is up", n)
	}
}

// EndpointHost is the host of controlPlane.endpoint; empty if there is none.
func (c *Cluster) EndpointHost() string {
	if host, _, err := net.SplitHostPort(c.ControlPlane.Endpoint); err == nil {
		return host
	}
	return c.ControlPlane.Endpoint
}

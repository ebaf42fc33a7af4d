package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
)

// etcd checks where etcd runs: on the control planes, on hosts with the role etcd, or
// elsewhere.
func (v *validator) etcd() {
	hosts, external := v.c.EtcdHosts(), v.c.Etcd.External
	if len(hosts) > 0 && len(external.Endpoints) > 0 {
		v.report("etcd.external", "remove it, or remove the hosts with the role etcd",
			"etcd runs on %s, and cannot be another one too", hosts[0].Name)
	}
	if n := len(hosts); n > 0 && n%2 == 0 && !v.c.Ignores(CheckEvenEtcd) {
		v.report("hosts", fmt.Sprintf("use %d or %d hosts with the role etcd, or add the check %s to preflight.ignore", n-1, n+1, CheckEvenEtcd),
			"%d members of etcd tolerate no more failures than %d: etcd needs a majority", n, n-1)
	}
	for i, h := range v.c.Hosts {
		if h.Has(RoleEtcd) {
			v.etcdHost(item("hosts", i), h)
		}
	}
	v.etcdEndpoints(external.Endpoints)
	if _, set := v.c.Kubernetes.ClusterConfiguration["etcd"]; set && v.c.ExternalEtcd() {
		v.report("kubernetes.clusterConfiguration.etcd", "remove it", "etcd does not run on the control planes")
	}
}

// etcdHost checks a host that is not a node.
func (v *validator) etcdHost(at string, h Host) {
	if len(h.Roles) > 1 {
		v.report(at+".roles", "keep only etcd, and use other hosts for the other roles; without a host with the role etcd, it runs on the control planes",
			"a host with the role etcd is not a node, and has no other role")
	}
	if !h.Stays() {
		v.report(at+".state", "remove it: the hosts of etcd cannot change while the cluster exists",
			"a host with the role etcd cannot leave the cluster")
	}
	if len(h.Labels) > 0 {
		v.report(at+".labels", "remove them", "a host with the role etcd is not a node, and has no labels")
	}
	if len(h.Taints) > 0 {
		v.report(at+".taints", "remove them", "a host with the role etcd is not a node, and has no taints")
	}
}

// etcdEndpoints checks the URLs of an etcd that exists.
func (v *validator) etcdEndpoints(endpoints []string) {
	const remedy = "write a URL such as https://192.0.2.31:2379"
	for i, endpoint := range endpoints {
		at := item("etcd.external.endpoints", i)
		u, err := url.Parse(endpoint)
		switch {
		case err != nil || u.Scheme != "https" || !isEndpoint(u.Host):
			v.report(at, remedy, "%q is not an https URL with a host and a port", endpoint)
		case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
			v.report(at, remedy, "%q has more than a host and a port", endpoint)
		case slices.Contains(endpoints[:i], endpoint):
			v.report(at, "keep one of them", "duplicate endpoint %s", endpoint)
		}
	}
}

// isEndpoint reports whether s is a host and a port. IPv6 is not supported.
func isEndpoint(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	ip, notIP := netip.ParseAddr(host)
	return err == nil && n > 0 && (notIP == nil && ip.Is4() || notIP != nil && isName(host))
}

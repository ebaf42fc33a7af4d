package preflight

import (
	"fmt"
	"net/netip"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// cidrOverlap: if a range of the cluster overlaps a route or a name server of a
// host, traffic to one of them is lost.
func cidrOverlap(cc *checkContext) []check.Finding {
	ranges := []struct {
		field, cidr string
		candidates  []string
	}{
		{"network.podSubnet", cc.cluster.Network.PodSubnet, podRanges},
		{"network.serviceSubnet", cc.cluster.Network.ServiceSubnet, serviceRanges},
	}
	var found []check.Finding
	for i, r := range ranges {
		prefix, err := netip.ParsePrefix(r.cidr)
		if err != nil {
			continue // the inventory's validation has said so
		}
		other, _ := netip.ParsePrefix(ranges[1-i].cidr)
		for _, h := range cc.reachable() {
			for _, what := range meets(prefix, h.Facts(), cc.cluster.Network.CNI.Backend) {
				found = append(found, check.Finding{
					Host:     h.Config.Name,
					Evidence: fmt.Sprintf("%s %s overlaps %s", r.field, prefix, what),
					Fix:      cc.propose(r.field, r.candidates, other),
				})
			}
		}
	}
	return found
}

// The ranges to propose instead of one that is in use, the defaults first.
var (
	podRanges     = []string{"10.244.0.0/16", "192.168.0.0/16", "10.42.0.0/16", "172.28.0.0/16", "10.200.0.0/16", "100.64.0.0/16"}
	serviceRanges = []string{"10.96.0.0/12", "10.43.0.0/16", "172.30.0.0/16", "192.168.192.0/20", "10.201.0.0/16", "100.65.0.0/16"}
)

// propose returns the first range that overlaps nothing on any host.
func (cc *checkContext) propose(field string, candidates []string, other netip.Prefix) string {
	for _, text := range candidates {
		if candidate := netip.MustParsePrefix(text); !candidate.Overlaps(other) && cc.free(candidate) {
			return "set in the inventory: " + field + ": " + text
		}
	}
	return "choose another " + field + " in the inventory"
}

func (cc *checkContext) free(candidate netip.Prefix) bool {
	for _, h := range cc.reachable() {
		if len(meets(candidate, h.Facts(), "")) > 0 {
			return false
		}
		if addr, err := netip.ParseAddr(h.Config.Address); err == nil && candidate.Contains(addr) {
			return false
		}
		for _, a := range h.Facts().Addresses {
			if candidate.Contains(a.Prefix.Addr()) {
				return false
			}
		}
	}
	return true
}

// meets lists the routes and name servers of a host that overlap a range.
func meets(prefix netip.Prefix, f *facts.Facts, backend string) []string {
	var all []string
	for _, r := range f.Routes {
		if r.Destination.Bits() > 0 && r.Destination.Overlaps(prefix) && !ownRoute(r, prefix, f, backend) {
			all = append(all, fmt.Sprintf("the route to %s over %s", r.Destination, r.Interface))
		}
	}
	for _, a := range f.Resolvers {
		if prefix.Contains(a) {
			all = append(all, "the name server "+a.String())
		}
	}
	return all
}

// ownRoute reports whether the route belongs to the pod network of this cluster: it
// uses an interface of the CNI, or leads to another node's part of the range
// (host-gw, bgp).
func ownRoute(r facts.Route, prefix netip.Prefix, f *facts.Facts, backend string) bool {
	for _, name := range []string{"cni", "flannel", "cali", "vxlan.calico", "tunl", "wireguard.cali"} {
		if strings.HasPrefix(r.Interface, name) {
			return true
		}
	}
	within := prefix.Contains(r.Destination.Addr()) && r.Destination.Bits() > prefix.Bits()
	return (backend == config.BackendHostGW || backend == config.BackendBGP) && within && f.Exists(facts.Journal)
}

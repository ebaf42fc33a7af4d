package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Prefix lengths that bound the subnets.
const (
	// nodeSubnetBits is the controller manager's node-cidr-mask-size.
	nodeSubnetBits = 24
	// minPodBits is 16 bits shorter (kubeadm, PodSubnetNodeMaskMaxDiff).
	minPodBits = nodeSubnetBits - 16
	// minServiceBits is 32 minus kubeadm's MaximumBitsForServiceSubnet.
	minServiceBits = 12
	// maxServiceBits leaves room for the address of the cluster DNS.
	maxServiceBits = 28
	// dnsIndex is the index of that address (kubeadm, constants.GetDNSIP).
	dnsIndex = 10
)

// subnet is a valid range of the cluster.
type subnet struct {
	field  string
	prefix netip.Prefix
}

func (v *validator) network() {
	n := v.c.Network
	if len(validation.IsDNS1123Subdomain(n.DNSDomain)) > 0 {
		v.report("network.dnsDomain", "write a domain such as cluster.local", "%q is not a DNS name", n.DNSDomain)
	}
	backends := map[string][]string{
		CNIFlannel: {BackendVXLAN, BackendHostGW}, CNICalico: {BackendVXLAN, BackendIPIP, BackendBGP},
	}[n.CNI.Name]
	switch {
	case n.CNI.Name == CNINone && n.CNI.Backend != "":
		v.report("network.cni.backend", "remove it", "not allowed with network.cni.name none")
	case len(backends) > 0 && !slices.Contains(backends, n.CNI.Backend) && slices.Contains([]string{BackendHostGW, BackendIPIP, BackendBGP}, n.CNI.Backend):
		v.report("network.cni.backend", "use "+oneOf(backends), "%s has no backend %s", n.CNI.Name, n.CNI.Backend)
	}
	if n.CNI.Name == CNINone && n.CNI.MTU != 0 {
		v.report("network.cni.mtu", "remove it, and set it in the pod network that you install", "not allowed with network.cni.name none")
	}
	pods, podsOK := v.subnet("network.podSubnet", n.PodSubnet)
	services, servicesOK := v.subnet("network.serviceSubnet", n.ServiceSubnet)
	if podsOK {
		v.podSize(pods.prefix)
		v.addressesOutside(pods)
	}
	if servicesOK {
		v.serviceSize(services.prefix)
		v.addressesOutside(services)
	}
	if podsOK && servicesOK && pods.prefix.Overlaps(services.prefix) {
		v.report(services.field, "choose ranges that do not overlap",
			"%s overlaps network.podSubnet %s", services.prefix, pods.prefix)
	}
}

// subnet parses an IPv4 range and reports an invalid one.
func (v *validator) subnet(field, text string) (subnet, bool) {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case strings.Contains(text, ","):
		v.report(field, "write one IPv4 range", "dual stack is not supported")
	case err != nil:
		v.report(field, "write address/bits, such as 10.244.0.0/16", "%q is not a CIDR", text)
	case !prefix.Addr().Is4():
		v.report(field, "write an IPv4 range", "IPv6 is not supported")
	case prefix != prefix.Masked():
		v.report(field, fmt.Sprintf("write %s", prefix.Masked()),
			"%s is not the first address of the range", text)
	case !prefix.Addr().IsGlobalUnicast() || prefix.Bits() == 0:
		v.report(field, "choose a private range, such as one in 10.0.0.0/8", "%s is not usable for pods or Services", text)
	default:
		return subnet{field, prefix}, true
	}
	return subnet{}, false
}

// podSize checks that each host can get a /24.
func (v *validator) podSize(p netip.Prefix) {
	const field = "network.podSubnet"
	need := nodeSubnetBits
	nodes := len(v.c.Nodes())
	for 1<<(nodeSubnetBits-need) < nodes && need > minPodBits {
		need--
	}
	switch {
	case p.Bits() < minPodBits:
		v.report(field, fmt.Sprintf("use /%d or smaller", minPodBits), "%s is too large for kubeadm", p)
	case p.Bits() > need:
		v.report(field, fmt.Sprintf("use /%d or larger", need), "%s is too small: each host needs a /%d, %d in all",
			p, nodeSubnetBits, nodes)
	}
}

func (v *validator) serviceSize(p netip.Prefix) {
	const field = "network.serviceSubnet"
	switch {
	case p.Bits() < minServiceBits:
		v.report(field, fmt.Sprintf("use /%d or smaller", minServiceBits), "%s is too large for the API server", p)
	case p.Bits() > maxServiceBits:
		v.report(field, fmt.Sprintf("use /%d or larger", maxServiceBits),
			"%s is too small: its %dth address is the cluster DNS", p, dnsIndex)
	}
}

// addressesOutside reports hosts and an endpoint within the range of pods or
// Services: packets to them would not leave the host.
func (v *validator) addressesOutside(s subnet) {
	check := func(field, address string) {
		addr, err := netip.ParseAddr(address)
		if err == nil && s.prefix.Contains(addr.Unmap()) {
			v.report(field, fmt.Sprintf("choose another %s", s.field), "%s is in %s %s", address, s.field, s.prefix)
		}
	}
	for i, h := range v.c.Hosts {
		check(item("hosts", i)+".address", h.Address)
		check(item("hosts", i)+".nodeIP", h.NodeIP)
	}
	check("controlPlane.endpoint", v.c.EndpointHost())
}

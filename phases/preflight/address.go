package preflight

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// nodeAddress: the address that the cluster uses for a host must be on an interface
// of the host.
func nodeAddress(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		addr, err := h.NodeIP()
		switch {
		case err != nil:
			found = append(found, check.Finding{Host: h.Config.Name, Evidence: strings.TrimPrefix(err.Error(), h.Config.Name+": "), Fix: workflow.Hint(err)})
		case !h.Facts().HasAddress(addr):
			found = append(found, check.Finding{
				Host:     h.Config.Name,
				Evidence: fmt.Sprintf("nodeIP %s is not on any interface of the host (%s)", addr, addresses(h.Facts())),
				Fix:      "set nodeIP to one of these",
			})
		}
	}
	return found
}

func addresses(f *facts.Facts) string {
	var all []string
	for _, a := range f.Addresses {
		if a.Prefix.Addr().Is4() {
			all = append(all, a.Prefix.Addr().String())
		}
	}
	return strings.Join(all, ", ")
}

// natAddress: behind VirtualBox's NAT all hosts have the address 10.0.2.15 on their
// default route. That is fine if the node addresses are others.
func natAddress(cc *checkContext) []check.Finding {
	nodes := map[netip.Addr][]string{}
	var order []netip.Addr
	for _, h := range cc.reachable() {
		addr, err := h.NodeIP()
		if err != nil {
			continue
		}
		if nodes[addr] == nil {
			order = append(order, addr)
		}
		nodes[addr] = append(nodes[addr], h.Config.Name)
	}
	var found []check.Finding
	for _, addr := range order {
		if same := nodes[addr]; len(same) > 1 {
			found = append(found, check.Finding{
				Evidence: fmt.Sprintf("%s all have the node address %s", names(same), addr),
				Fix:      "set nodeIP of each host in the inventory to its address in the shared network",
			})
		}
	}
	return found
}

// flannelInterface: Flannel uses the interface that has the node's address. Behind
// NAT, the interface of the default route does not reach other hosts.
func flannelInterface(cc *checkContext) []check.Finding {
	shared := map[netip.Addr]int{}
	for _, h := range cc.reachable() {
		shared[h.Facts().DefaultAddress()]++
	}
	var found []check.Finding
	for _, h := range cc.reachable() {
		f := h.Facts()
		def := f.DefaultAddress()
		addr, err := h.NodeIP()
		if err != nil || !def.IsValid() || shared[def] < 2 || addr == def {
			continue
		}
		found = append(found, check.Finding{
			Host: h.Config.Name,
			Evidence: fmt.Sprintf("the default route leaves from %s, which %d hosts have; the node is %s on %s",
				def, shared[def], addr, f.Interface(addr)),
			Fix: "nothing: slipway makes Flannel use the interface of nodeIP; configure a custom CNI accordingly (flanneld --iface-regex, Calico's IP_AUTODETECTION_METHOD)",
		})
	}
	return found
}

// servingCertificates: only then does the cluster sign certificates of kubelets.
func servingCertificates(c *config.Cluster) (reason string) {
	if !c.ServerTLSBootstrap() {
		return "kubelets sign their own serving certificates"
	}
	return ""
}

// servingCertificate: kubelet asks for a certificate for its node address, which
// must be the one in the inventory.
func servingCertificate(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.hosts.All {
		identity, err := kube.ServingIdentityOf(cc.cluster, h.Config)
		var unclear *kube.IdentityError
		if errors.As(err, &unclear) {
			found = append(found, check.Finding{Host: h.Config.Name, Evidence: unclear.Reason, Fix: unclear.Fix + own(h)})
			continue
		}
		if h.Facts() == nil {
			continue
		}
		if addr, err := h.NodeIP(); err == nil && addr != identity.Address {
			found = append(found, check.Finding{
				Host:     h.Config.Name,
				Evidence: fmt.Sprintf("the node address is %s, but the inventory has %s", addr, identity.Address),
				Fix:      fmt.Sprintf("set nodeIP of %s in the inventory%s", h.Config.Name, own(h)),
			})
		}
	}
	return found
}

// own lists the addresses of the host, for a fix; empty if they are not known.
func own(h *workflow.Host) string {
	if h.Facts() == nil || len(h.Facts().Addresses) == 0 {
		return ""
	}
	return " (the host has " + addresses(h.Facts()) + ")"
}

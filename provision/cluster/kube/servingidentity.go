package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
)

// ServingIdentity is what a kubelet's serving certificate may contain: the name of
// its Node and one address, both from the inventory. A host controls everything else
// that is known about it, such as its hostname and its default route.
type ServingIdentity struct {
	// Node is the name of the Node, and the only DNS name. kubeadm starts kubelet
	// with --hostname-override if the hostname differs (buildKubeletArgMapCommon), so
	// that no kubelet needs another one.
	Node string
	// Address is what kubelet gets as --node-ip.
	Address netip.Addr

	reserved reserved
}

// IdentityError: the inventory does not give a host a name and an address of its
// own, so that no serving certificate of its kubelet can be approved.
type IdentityError struct {
	Host, Reason string
	// Fix is what to change in the inventory.
	Fix string
}

func (e *IdentityError) Error() string { return e.Host + ": " + e.Reason }

// ServingIdentityOf returns the identity of a host of the inventory. The error is an
// *IdentityError.
func ServingIdentityOf(c *config.Cluster, h config.Host) (ServingIdentity, error) {
	identity := ServingIdentity{Node: h.Name, reserved: reservedFor(c, h)}
	if owner := identity.reserved.owner(h.Name); owner != "" {
		return identity, &IdentityError{
			Host: h.Name, Reason: fmt.Sprintf("the name %s belongs to %s", h.Name, owner),
			Fix: "give the host another name in the inventory",
		}
	}
	addr, err := netip.ParseAddr(cmp.Or(h.NodeIP, h.Address))
	if err != nil {
		return identity, &IdentityError{
			Host:   h.Name,
			Reason: fmt.Sprintf("the inventory sets no IP address: address is the name %s, and nodeIP is not set", h.Address),
			Fix:    fmt.Sprintf("set nodeIP of %s in the inventory", h.Name),
		}
	}
	identity.Address = addr.Unmap()
	if owner := identity.reserved.owner(addr.String()); owner != "" {
		return identity, &IdentityError{
			Host: h.Name, Reason: fmt.Sprintf("the address %s belongs to %s", addr, owner),
			Fix: fmt.Sprintf("set nodeIP of %s in the inventory to another address of the host", h.Name),
		}
	}
	return identity, nil
}

// allowsName returns an error if the certificate must not contain the name.
func (i ServingIdentity) allowsName(name string) error {
	if owner := i.reserved.owner(name); owner != "" {
		return fmt.Errorf("it asks for the name %s, which belongs to %s", name, owner)
	}
	if name != i.Node {
		return fmt.Errorf("it asks for the name %s, but the inventory has %s", name, i.Node)
	}
	return nil
}

// allowsAddress returns an error if the certificate must not contain the address.
func (i ServingIdentity) allowsAddress(addr netip.Addr) error {
	if owner := i.reserved.owner(addr.String()); owner != "" {
		return fmt.Errorf("it asks for the address %s, which belongs to %s", addr, owner)
	}
	if addr != i.Address {
		return fmt.Errorf("it asks for the address %s, but the inventory has %s", addr, i.Address)
	}
	return nil
}

// The owners of reserved names and addresses, for messages.
const (
	apiServer = "the API server"
	aService  = "a Service"
	everyHost = "every host"
)

// reserved are the names and addresses that belong to others than the host.
type reserved struct {
	// owners are by name or address.
	owners   map[string]string
	services netip.Prefix
	domain   string
}

func reservedFor(c *config.Cluster, h config.Host) reserved {
	services, _ := netip.ParsePrefix(c.Network.ServiceSubnet) // valid: config.Load checks it
	r := reserved{owners: map[string]string{}, services: services.Masked(), domain: c.Network.DNSDomain}
	for _, other := range slices.Concat(c.Hosts, c.Absent()) {
		if other.Name != h.Name {
			r.add("host "+other.Name, other.Name, other.Address, other.NodeIP)
		}
	}
	// A control plane is the API server, so that its own name and address may be
	// among those of the API server.
	var own []string
	if h.Has(config.RoleControlPlane) {
		own = []string{h.Name, h.Address, h.NodeIP}
	}
	for _, of := range append(slices.Clone(c.ControlPlane.CertSANs), c.EndpointHost()) {
		if !slices.Contains(own, of) {
			r.add(apiServer, of)
		}
	}
	return r
}

func (r reserved) add(owner string, names ...string) {
	for _, name := range names {
		if name != "" {
			r.owners[canonical(name)] = owner
		}
	}
}

// canonical is the form in which names and addresses are compared.
func canonical(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// owner returns to whom a name or an address belongs; empty if it is not reserved.
func (r reserved) owner(name string) string {
	name = canonical(name)
	if owner := r.owners[name]; owner != "" {
		return owner
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		switch {
		case addr.IsLoopback(), addr.IsUnspecified():
			return everyHost
		case addr == r.services.Addr().Next():
			return apiServer
		case r.services.Contains(addr):
			return aService
		}
		return ""
	}
	// The names that kubeadm gives the API server, and those of other Services.
	name = strings.TrimSuffix(name, "."+r.domain)
	switch {
	case name == "localhost", name == "localhost.localdomain", strings.HasSuffix(name, ".localhost"):
		return everyHost
	case slices.Contains([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc"}, name):
		return apiServer
	case strings.HasSuffix(name, ".svc"):
		return aService
	}
	return ""
}

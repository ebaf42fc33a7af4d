package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Expects returns whether the component is the pod network, an addon, or one of
// preflight.expect.
func (c *Cluster) Expects(name string) bool {
	if c.Network.CNI.Name == name {
		return true
	}
	for _, a := range c.Addons {
		if a.Name == name || slices.Contains(expectedBy[a.Name], name) {
			return true
		}
	}
	return slices.ContainsFunc(c.Preflight.Expect, func(e Expected) bool { return e.Name == name })
}

// expectedBy maps addons to the components that they provide.
var expectedBy = map[string][]string{
	AddonTraefik: {"ingress"}, AddonIngressNginx: {"ingress"}, AddonMetalLB: {"load-balancer"},
}

// Pools returns the load balancer addresses of addons and of preflight.expect.
func (c *Cluster) Pools() []AddressRange {
	var pools []AddressRange
	add := func(addresses []string) {
		for _, text := range addresses {
			if r, err := ParseAddressRange(text); err == nil {
				pools = append(pools, r)
			}
		}
	}
	for _, a := range c.Addons {
		add(a.Addresses)
	}
	for _, e := range c.Preflight.Expect {
		add(e.Addresses)
	}
	return pools
}

// AddressRange is an inclusive range of addresses.
type AddressRange struct{ First, Last netip.Addr }

// Contains returns whether an address is in the range.
func (r AddressRange) Contains(a netip.Addr) bool {
	return a.Compare(r.First) >= 0 && a.Compare(r.Last) <= 0
}

// Overlaps returns whether a prefix and the range share an address.
func (r AddressRange) Overlaps(p netip.Prefix) bool {
	return p.Contains(r.First) || r.Contains(p.Masked().Addr())
}

// String returns the range as in an inventory.
func (r AddressRange) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// ParseAddressRange reads "192.0.2.240", "192.0.2.240-192.0.2.250" or
// "192.0.2.240/28".
func ParseAddressRange(text string) (AddressRange, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Addr().Is4() {
		return AddressRange{prefix.Masked().Addr(), lastAddress(prefix)}, nil
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, errA := netip.ParseAddr(strings.TrimSpace(first))
	b, errB := netip.ParseAddr(strings.TrimSpace(last))
	if errA != nil || errB != nil || !a.Is4() || !b.Is4() || b.Less(a) {
		return AddressRange{}, fmt.Errorf("%q is not an IPv4 address, range or CIDR", text)
	}
	return AddressRange{a, b}, nil
}

// lastAddress returns the last address of an IPv4 prefix.
func lastAddress(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(bytes)
}

// pool parses a range of addresses and reports an invalid one.
func (v *validator) pool(field, text string) (AddressRange, bool) {
	pool, err := ParseAddressRange(text)
	if err != nil {
		v.report(field, "write 192.0.2.240, 192.0.2.240-192.0.2.250 or 192.0.2.240/28", "%v", err)
	}
	return pool, err == nil
}

// expected checks preflight.expect.
func (v *validator) expected() {
	for i, e := range v.c.Preflight.Expect {
		at := item("preflight.expect", i)
		if slices.ContainsFunc(v.c.Preflight.Expect[:i], func(o Expected) bool { return o.Name == e.Name }) {
			v.report(at+".name", "remove one of them", "duplicate component %s", e.Name)
		}
		if len(e.Addresses) > 0 && e.Name != "load-balancer" {
			v.report(at+".addresses", "remove it", "only load-balancer has addresses")
		}
		for j, text := range e.Addresses {
			v.pool(item(at+".addresses", j), text)
		}
	}
}

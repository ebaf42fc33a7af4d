package lab

import (
	"errors"
	"net/netip"
)

// endpointAddress is the last byte of the shared address of the control planes. No
// provider has machines there, and the addresses for MetalLB are far behind.
const endpointAddress = 10

// EndpointOf returns the endpoint of a lab: the one that it has, or one for a new lab
// of the spec. It is invalid if the lab has none.
func EndpointOf(have netip.Addr, exists bool, spec Spec, subnet netip.Prefix) (netip.Addr, error) {
	switch {
	case !spec.HA || have.IsValid():
		return have, nil
	case exists:
		// The endpoint of a cluster cannot change, nor can the package source of a machine.
		return have, errors.New("it was created without --ha: delete the lab first (slipway lab down)")
	default:
		return Nth(subnet, endpointAddress), nil
	}
}

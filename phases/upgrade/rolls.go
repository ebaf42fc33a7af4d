package upgrade

import (
	"net"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/intstr"

	"slipway.io/slipway/provision/workflow"
)

// ControlPlanes returns the roll in which control planes change, one at a time.
func ControlPlanes() *workflow.Roll {
	return &workflow.Roll{Name: "control-planes", Batch: intstr.FromInt32(1), Order: order, Disruptive: disruptive}
}

// Workers returns the roll in which workers change, in batches.
func Workers() *workflow.Roll { return &workflow.Roll{Name: "workers", Disruptive: disruptive} }

// order puts the control plane with the leader of etcd, and the one that holds the address
// of the endpoint, last: what they do moves to control planes that are done, and so moves
// once.
func order(hosts *workflow.Hosts, h *workflow.Host) int {
	state, last := hosts.State(), 0
	if state == nil {
		return last
	}
	if state.Leader == h.Config.Name {
		last += 2
	}
	if holds(h, state.Fixed.Endpoint) {
		last++
	}
	return last
}

// holds reports whether the host has the address of an endpoint.
func holds(h *workflow.Host, endpoint string) bool {
	name, _, err := net.SplitHostPort(endpoint)
	if err != nil || h.Facts() == nil {
		return false
	}
	address, err := netip.ParseAddr(name)
	return err == nil && h.Facts().HasAddress(address)
}

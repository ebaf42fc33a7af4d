//go:build linux

package main

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

const (
	// routersTime is longer than the default interval of VRRP advertisements, 1 s.
	routersTime = 1500 * time.Millisecond
	// vrrpAdvertisement is the type of a message, in the lower half of its first byte
	// (RFC 9568).
	vrrpAdvertisement = 1
)

// vrrpGroup is where routers send their advertisements.
var vrrpGroup = [4]byte{224, 0, 0, 18}

// hearRouters listens for VRRP advertisements at the interface that has the address. A
// host that cannot listen hears nothing.
func hearRouters(at netip.Addr) []wire.Router {
	conn, err := net.ListenIP("ip4:112", &net.IPAddr{})
	if err != nil {
		return nil
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptIPMreq(int(fd), unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreq{Multiaddr: vrrpGroup, Interface: at.As4()})
	})
	_ = conn.SetReadDeadline(time.Now().Add(routersTime))
	var heard []wire.Router
	message := make([]byte, 512)
	for {
		n, from, err := conn.ReadFromIP(message)
		if err != nil {
			return heard
		}
		if router, ok := parseAdvertisement(message[:n], from.IP); ok && !slices.Contains(heard, router) {
			heard = append(heard, router)
		}
	}
}

// parseAdvertisement returns the router that sent a VRRP message.
func parseAdvertisement(message []byte, from net.IP) (wire.Router, bool) {
	addr, ok := netip.AddrFromSlice(from)
	if !ok || len(message) < 8 || message[0]&0x0f != vrrpAdvertisement {
		return wire.Router{}, false
	}
	return wire.Router{Address: addr.Unmap(), ID: int(message[1])}, true
}

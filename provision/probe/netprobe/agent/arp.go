//go:build linux

package main

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// The kernel sends at most three ARP requests, one a second. A neighbour on the
// same link answers the first one.
const (
	arpTimeout  = 1200 * time.Millisecond
	arpInterval = 50 * time.Millisecond
)

// resolve sends a datagram to each address, so that the kernel resolves it by
// ARP, and returns the neighbours that answered.
func resolve(addresses []netip.Addr) []wire.Neighbour {
	for _, a := range addresses {
		if conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9))); err == nil {
			_, _ = conn.Write([]byte{0}) // port 9 is discard (RFC 863)
			_ = conn.Close()
		}
	}
	deadline := time.After(arpTimeout)
	tick := time.NewTicker(arpInterval)
	defer tick.Stop()
	for {
		table, _ := os.ReadFile("/proc/net/arp")
		found := neighbours(string(table), addresses)
		if len(found) == len(addresses) {
			return found
		}
		select {
		case <-deadline:
			return found
		case <-tick.C:
		}
	}
}

// neighbours returns the complete entries for the addresses in an ARP table of
// the format of /proc/net/arp.
func neighbours(table string, addresses []netip.Addr) []wire.Neighbour {
	var found []wire.Neighbour
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[2] == "0x0" {
			continue // the header, or an entry without an answer
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil && slices.Contains(addresses, a) {
			found = append(found, wire.Neighbour{Address: a, MAC: fields[3]})
		}
	}
	return found
}

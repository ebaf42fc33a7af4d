//go:build linux

package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// The kernel sends at most three ARP requests, one a second. A neighbour on the
// same link answers the first one.
const (
	arpTimeout  = 1200 * time.Millisecond
	arpInterval = 50 * time.Millisecond
)

// arpTable is the ARP table of the network namespace of this thread.
const arpTable = "/proc/thread-self/net/arp"

// resolve sends a datagram to each address, so that the kernel resolves it by
// ARP, and returns the neighbours that answered.
func resolve(addresses []netip.Addr) []wire.Neighbour {
	for _, a := range addresses {
		forget(a)
		if conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9))); err == nil {
			_, _ = conn.Write([]byte{0}) // port 9 is discard (RFC 863)
			_ = conn.Close()
		}
	}
	deadline := time.After(arpTimeout)
	tick := time.NewTicker(arpInterval)
	defer tick.Stop()
	for {
		table, _ := os.ReadFile(arpTable)
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

// forget deletes the entry of an address from the ARP table, where the kernel keeps that
// of a neighbour that has given the address up. Without an entry, it does nothing.
func forget(address netip.Addr) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	// struct arpreq of arp(7) begins with a sockaddr_in; the rest may be zero.
	var request [68]byte
	binary.NativeEndian.PutUint16(request[:], unix.AF_INET)
	copy(request[4:], address.AsSlice())
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCDARP, uintptr(unsafe.Pointer(&request)))
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

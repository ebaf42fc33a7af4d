//go:build linux

package main

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// Neighbours are asked for once a second by the kernel, three times.
const (
	askFor   = 1200 * time.Millisecond
	askEvery = 50 * time.Millisecond
)

// ask lets the kernel ask for the addresses, by sending a datagram to each, and
// reads who answered.
func ask(addresses []netip.Addr) []wire.Neighbour {
	for _, a := range addresses {
		if conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9))); err == nil {
			_, _ = conn.Write([]byte{0}) // discard (RFC 863)
			_ = conn.Close()
		}
	}
	deadline := time.After(askFor)
	every := time.NewTicker(askEvery)
	defer every.Stop()
	for {
		content, _ := os.ReadFile("/proc/net/arp")
		found := neighbours(string(content), addresses)
		if len(found) == len(addresses) {
			return found
		}
		select {
		case <-deadline:
			return found
		case <-every.C:
		}
	}
}

// neighbours are the complete entries of the table for the addresses.
func neighbours(table string, addresses []netip.Addr) []wire.Neighbour {
	var found []wire.Neighbour
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) < 4 || words[2] == "0x0" {
			continue // the header, or an entry that waits for its answer
		}
		if a, err := netip.ParseAddr(words[0]); err == nil && slices.Contains(addresses, a) {
			found = append(found, wire.Neighbour{Address: a, MAC: words[3]})
		}
	}
	return found
}

// Writes as etcd does them: small ones, each made durable.
const (
	writeSize = 2300
	mostTimes = 200
	mostWait  = time.Second
)

// nameless is a file without a name, which is gone with the program. Where the
// file system has no such files, it has a name for a moment.
func nameless(dir string) (*os.File, error) {
	file, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil {
		return file, nil
	}
	if file, err = os.CreateTemp(dir, ".slipway-probe-"); err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}

// timeDisk times fdatasync.
func timeDisk(dir string) *wire.Disk {
	file, err := nameless(dir)
	if err != nil {
		return &wire.Disk{Error: err.Error()}
	}
	defer file.Close()
	var times []time.Duration
	block := make([]byte, writeSize)
	for end := time.Now().Add(mostWait); len(times) < mostTimes && time.Now().Before(end); {
		if _, err := file.Write(block); err != nil {
			return &wire.Disk{Error: err.Error()}
		}
		before := time.Now()
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return &wire.Disk{Error: err.Error()}
		}
		times = append(times, time.Since(before))
	}
	slices.Sort(times)
	return &wire.Disk{P99: times[(len(times)*99-1)/100], Writes: len(times)}
}

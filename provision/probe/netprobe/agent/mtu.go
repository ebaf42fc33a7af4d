//go:build linux

package main

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// headers are those of IPv4 and UDP, in bytes.
const headers = 28

// usual are the sizes of packets that pass where something takes its share:
// PPPoE, VXLAN, WireGuard, IPsec, clouds. The last one always passes.
var usual = []int{9000, 8950, 1500, 1492, 1480, 1460, 1450, 1440, 1430, 1420, 1410, 1400, 1380, 1360, 1340, 1320, 1300, 1280, 1200, 1000, 576}

// largest is the size of the largest IP packet, up to wanted, that passes with
// the don't-fragment bit set; 0 if none does. All sizes are sent at once.
func largest(at netip.AddrPort, wanted int, timeout time.Duration) int {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return 0
	}
	defer conn.Close()
	if dontFragment(conn) != nil {
		return 0
	}
	if best := passes(conn, []int{wanted}, timeout/2); best == wanted {
		return best
	}
	var sizes []int
	for _, size := range usual {
		if size < wanted {
			sizes = append(sizes, size)
		}
	}
	best := passes(conn, sizes, timeout/2)
	if best == 0 {
		return 0
	}
	// Between the largest that passed and the next one, find out more.
	next := wanted
	for _, size := range sizes {
		if size > best && size < next {
			next = size
		}
	}
	var finer []int
	for size := best + 1; size < next; size += max(1, (next-best)/32) {
		finer = append(finer, size)
	}
	return max(best, passes(conn, finer, timeout/2))
}

// dontFragment sets the bit, and lets the kernel send what it believes to be
// too large for the path.
func dontFragment(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), syscall.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	}); err != nil {
		return err
	}
	return set
}

// passes sends a packet of each size twice, and gives the largest that was
// answered within the time.
func passes(conn *net.UDPConn, sizes []int, timeout time.Duration) int {
	want := 0
	for range 2 {
		for _, size := range sizes {
			payload := append([]byte(magic+"mtu "), make([]byte, max(0, size-headers-len(magic)-4))...)
			_, _ = conn.Write(payload) // one that the interface itself refuses is not answered
			want = max(want, size)
		}
	}
	best := 0
	_ = conn.SetReadDeadline(time.Now().Add(timeout))
	answer := make([]byte, 512)
	for best < want {
		n, err := conn.Read(answer)
		if network, ok := err.(net.Error); ok && network.Timeout() {
			return best
		}
		if err != nil {
			continue // an ICMP message: too large
		}
		words := strings.Fields(string(answer[:n]))
		if length, err := strconv.Atoi(words[len(words)-1]); err == nil {
			best = max(best, length+headers)
		}
	}
	return best
}

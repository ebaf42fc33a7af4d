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

// headerSize is the size of the IPv4 and UDP headers, in bytes.
const headerSize = 28

// commonSizes are the packet sizes that usual links and tunnels let through:
// jumbo frames, Ethernet, PPPoE, VXLAN, WireGuard, IPsec, cloud networks. Every
// IPv4 host accepts the last one (RFC 791).
var commonSizes = []int{9000, 8950, 1500, 1492, 1480, 1460, 1450, 1440, 1430, 1420, 1410, 1400, 1380, 1360, 1340, 1320, 1300, 1280, 1200, 1000, 576}

// pathMTU returns the size of the largest IP packet, up to wanted bytes, that
// passes with the don't-fragment bit set; 0 if none does.
func pathMTU(at netip.AddrPort, wanted int, timeout time.Duration) int {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return 0
	}
	defer conn.Close()
	if dontFragment(conn) != nil {
		return 0
	}
	if best := largestAnswered(conn, []int{wanted}, timeout/2); best == wanted {
		return best
	}
	var sizes []int
	for _, size := range commonSizes {
		if size < wanted {
			sizes = append(sizes, size)
		}
	}
	best := largestAnswered(conn, sizes, timeout/2)
	if best == 0 {
		return 0
	}
	// Search between the largest size that passed and the next larger one.
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
	return max(best, largestAnswered(conn, finer, timeout/2))
}

// dontFragment sets the don't-fragment bit on outgoing packets, and makes the
// kernel send packets that are larger than the path MTU it has recorded.
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

// largestAnswered sends two packets of each size at once, and returns the
// largest size that the peer answers within the timeout; 0 if it answers none.
func largestAnswered(conn *net.UDPConn, sizes []int, timeout time.Duration) int {
	want := 0
	for range 2 {
		for _, size := range sizes {
			payload := append([]byte(magic+"mtu "), make([]byte, max(0, size-headerSize-len(magic)-4))...)
			_, _ = conn.Write(payload) // a packet larger than the interface's MTU fails here
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
			continue // an ICMP message: packet too big
		}
		fields := strings.Fields(string(answer[:n]))
		if length, err := strconv.Atoi(fields[len(fields)-1]); err == nil {
			best = max(best, length+headerSize)
		}
	}
	return best
}

//go:build linux

package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

func TestGreetingsAreParsed(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr("192.0.2.7")
	if name, seen := parseGreeting([]byte(greeting("w-1", addr))); name != "w-1" || seen != addr {
		t.Errorf("got %q %v", name, seen)
	}
	for _, bad := range []string{"", "SSH-2.0-OpenSSH\r\n", "slipway-probe ", "slipway-probe w-1 nowhere\n"} {
		if name, _ := parseGreeting([]byte(bad)); name != "" {
			t.Errorf("%q is parsed as %q", bad, name)
		}
	}
}

func TestOnlyCompleteARPEntriesAreNeighbours(t *testing.T) {
	t.Parallel()
	table := `IP address       HW type     Flags       HW address            Mask     Device
192.0.2.1        0x1         0x2         02:00:00:00:00:01     *        eth0
192.0.2.2        0x1         0x0         00:00:00:00:00:00     *        eth0
192.0.2.3        0x1         0x2         02:00:00:00:00:03     *        eth0
`
	got := neighbours(table, []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")})
	want := []wire.Neighbour{{Address: netip.MustParseAddr("192.0.2.1"), MAC: "02:00:00:00:00:01"}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestAPortWithoutAListenerIsRefused(t *testing.T) {
	t.Parallel()
	peer := wire.Peer{Name: "x", IP: netip.MustParseAddr("127.0.81.1")}
	for _, protocol := range []string{"tcp", "udp"} {
		link, _ := connect(peer, wire.Port{Protocol: protocol, Number: 9}, 300*time.Millisecond)
		if link.Status != wire.Refused || !strings.Contains(link.Detail, "refused") {
			t.Errorf("%s: got %+v", protocol, link)
		}
	}
}

func TestAnInvalidMessageEndsTheAgent(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "hello\n", `{"name":"a","ip":"127.0.81.2"}` + "\nwhat\n"} {
		if err := run(strings.NewReader(in), &bytes.Buffer{}); err == nil {
			t.Errorf("%q is accepted", in)
		}
	}
}

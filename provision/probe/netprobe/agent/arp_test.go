//go:build linux

package main

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

func TestTheEntryOfANeighbourThatHasGoneIsNoAnswer(t *testing.T) {
	skip := t.Skipf
	if os.Getenv("CI") != "" && os.Geteuid() == 0 {
		skip = t.Fatalf
	}
	if _, err := exec.LookPath("ip"); err != nil {
		skip("%v", err)
	}
	runtime.LockOSThread() // the thread ends with the test
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		skip("network namespaces need root: %v", err)
	}
	for _, args := range []string{
		"link add eth0 type veth peer name eth1", "link set eth1 up", "link set eth0 up", "address add 192.0.2.11/24 dev eth0",
		"neighbour add 192.0.2.100 lladdr 02:00:00:00:00:99 dev eth0 nud stale",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	address := netip.MustParseAddr("192.0.2.100")
	known := func() []wire.Neighbour {
		table, err := os.ReadFile(arpTable)
		if err != nil {
			t.Fatal(err)
		}
		return neighbours(string(table), []netip.Addr{address})
	}
	if len(known()) != 1 {
		t.Fatal("the table has no entry")
	}
	if found := resolve([]netip.Addr{address}); len(found) > 0 {
		t.Errorf("%v answered", found)
	}
}

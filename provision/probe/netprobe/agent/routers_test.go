//go:build linux

package main

import (
	"net"
	"net/netip"
	"testing"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

func TestAdvertisementsAreParsed(t *testing.T) {
	t.Parallel()
	from := net.ParseIP("192.0.2.7")
	want := wire.Router{Address: netip.MustParseAddr("192.0.2.7"), ID: 51}
	// Versions 2 and 3 have the same first bytes.
	for _, version := range []byte{0x21, 0x31} {
		if got, ok := parseAdvertisement([]byte{version, 51, 100, 1, 0, 30, 0, 0}, from); !ok || got != want {
			t.Errorf("got %+v, %v", got, ok)
		}
	}
	for name, message := range map[string][]byte{"another type": {0x32, 51, 100, 1, 0, 30, 0, 0}, "a short message": {0x31, 51}, "nothing": nil} {
		if got, ok := parseAdvertisement(message, from); ok {
			t.Errorf("%s is %+v", name, got)
		}
	}
}

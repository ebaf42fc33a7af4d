package localhost

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func route(prefix, device string) Route { return Route{netip.MustParsePrefix(prefix), device} }

func TestRoutesAreRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		got  []Route
		want []Route
	}{
		{
			"Linux", linuxRoutes("default via 192.0.2.1 dev wlan0\n10.0.0.0/8 via 10.9.0.1 dev tun0\n10.7.7.7 dev tun0\nlocal 192.0.2.7 dev wlan0 table local\nunreachable 10.1.0.0/16\n"),
			[]Route{route("10.0.0.0/8", "tun0"), route("10.7.7.7/32", "tun0")},
		},
		{
			"macOS", bsdRoutes("Destination Gateway Flags Netif Expire\ndefault 192.0.2.1 UGScg en0\n10 10.9.0.1 UGSc utun3\n172.16/12 10.9.0.1 UGSc utun3\n192.0.2.7 link#6 UHLWIi en0\n"),
			[]Route{route("10.0.0.0/8", "utun3"), route("172.16.0.0/12", "utun3"), route("192.0.2.7/32", "en0")},
		},
		{"Windows", pairs("0.0.0.0/0 Wi-Fi\r\n10.0.0.0/8 Corporate VPN\r\n"), []Route{route("0.0.0.0/0", "Wi-Fi"), route("10.0.0.0/8", "Corporate VPN")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, test.got, comparable); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHostOnlyRangesAreRead(t *testing.T) {
	t.Parallel()
	got := hostOnly("# a comment\n* 10.0.0.0/8 192.168.0.0/16\n* 2001::/64\nnonsense\n")
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("2001::/64")}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Error(diff)
	}
}

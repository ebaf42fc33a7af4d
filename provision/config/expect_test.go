package config

import (
	"net/netip"
	"testing"
)

func TestAddressRange(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text, want string
		in, out    string
		overlaps   string
		apart      string
	}{
		{"192.0.2.240", "192.0.2.240", "192.0.2.240", "192.0.2.241", "192.0.2.0/24", "198.51.100.0/24"},
		{"192.0.2.240-192.0.2.250", "192.0.2.240-192.0.2.250", "192.0.2.250", "192.0.2.239", "192.0.2.248/29", "192.0.2.0/25"},
		{"192.0.2.240/28", "192.0.2.240-192.0.2.255", "192.0.2.255", "192.0.3.0", "192.0.0.0/16", "192.0.2.224/28"},
		{"0.0.0.0/0", "0.0.0.0-255.255.255.255", "8.8.8.8", "::1", "192.0.2.0/24", "2001:db8::/32"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			t.Parallel()
			r, err := ParseAddressRange(test.text)
			if err != nil || r.String() != test.want {
				t.Fatalf("got %v, %v", r, err)
			}
			if !r.Contains(netip.MustParseAddr(test.in)) || r.Contains(netip.MustParseAddr(test.out)) {
				t.Errorf("%v: want %s in it, but not %s", r, test.in, test.out)
			}
			if !r.Overlaps(netip.MustParsePrefix(test.overlaps)) || r.Overlaps(netip.MustParsePrefix(test.apart)) {
				t.Errorf("%v: want an overlap with %s, but not with %s", r, test.overlaps, test.apart)
			}
		})
	}
	for _, bad := range []string{"", "x", "192.0.2.250-192.0.2.240", "2001:db8::1", "192.0.2.1-", "192.0.2.0/33", "192.0.2.1-192.0.2.2-192.0.2.3"} {
		if r, err := ParseAddressRange(bad); err == nil {
			t.Errorf("%q became %v", bad, r)
		}
	}
}

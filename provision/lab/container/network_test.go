package container

import (
	"net/netip"
	"strings"
	"testing"
)

func TestChooseSubnet(t *testing.T) {
	t.Parallel()
	taken := []route{{"default", "eth0"}, {"10.88.77.0/24", "slwother"}, {"10.88.78.9", "wg0"}, {"fd00::/64", "eth0"}}
	for _, tc := range []struct {
		name, wanted string
		routes       []route
		want, err    string
	}{
		{"a default route does not count", "", []route{{"default", "eth0"}, {"0.0.0.0/0", "eth0"}}, "10.88.77.0/24", ""},
		{"a network route and a host route each occupy a subnet", "", taken, "10.88.79.0/24", ""},
		{"a large route occupies all subnets in it", "", []route{{"10.0.0.0/8", "tun0"}}, "172.29.77.0/24", ""},
		{"a free wanted subnet is chosen", "192.168.5.7/24", taken, "192.168.5.0/24", ""},
		{"a wanted subnet with a route is an error", "10.88.77.0/24", taken, "", "slwother"},
		{"no subnet is free", "", []route{{"10.0.0.0/8", "a"}, {"172.16.0.0/12", "b"}, {"192.168.0.0/16", "c"}}, "", "172.29.77.0/24 (route to 172.16.0.0/12 on b)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var wanted netip.Prefix
			if tc.wanted != "" {
				wanted = prefix(tc.wanted)
			}
			got, err := chooseSubnet(wanted, tc.routes)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || got.String() != tc.want {
				t.Errorf("got %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

func TestSubnetsDoNotOverlapKubernetesDefaults(t *testing.T) {
	t.Parallel()
	for _, subnet := range subnets() {
		for _, other := range []string{"10.96.0.0/12", "10.244.0.0/16"} {
			if subnet.Overlaps(prefix(other)) {
				t.Errorf("%s overlaps %s", subnet, other)
			}
		}
	}
}

func TestTheSubnetOfALabThatIsOffStaysReserved(t *testing.T) {
	t.Parallel()
	first := testSession(t)
	if err := first.record(func() { first.state.Subnet = prefix("10.88.77.0/24") }); err != nil {
		t.Fatal(err)
	}
	if routes := first.otherSubnets(); len(routes) > 0 {
		t.Errorf("a lab reserves its subnet against itself: %v", routes)
	}
	second := session{name: "second", dir: strings.TrimSuffix(first.dir, "test") + "second"}
	got, err := chooseSubnet(netip.Prefix{}, second.otherSubnets())
	if err != nil || got.String() != "10.88.78.0/24" {
		t.Errorf("got %s, %v; want the next one", got, err)
	}
}

func TestBridgeNamesFitAndDiffer(t *testing.T) {
	t.Parallel()
	one, other := testSession(t), testSession(t)
	if n := len(one.bridgeName()); n > 15 {
		t.Errorf("%s has %d characters, Linux allows 15", one.bridgeName(), n)
	}
	if one.bridgeName() == other.bridgeName() {
		t.Errorf("two labs of one name in different directories share the bridge %s", one.bridgeName())
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, status string
		want         bool
	}{
		{"all but CAP_SYS_RESOURCE", "CapEff:\t000001ffffffffff\nCapBnd:\t000001fffeffffff\n", true},
		{"all", "CapBnd:\t000001ffffffffff\n", false},
		{"unknown", "Name:\tx\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := lacksCapability(tc.status, capSysResource); got != tc.want {
				t.Errorf("lacks = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestMissingPackages(t *testing.T) {
	t.Parallel()
	got := missingPackages(func(program string) bool { return program == "ip" })
	if want := "debootstrap systemd-container"; strings.Join(got, " ") != want {
		t.Errorf("missing %v, want %s", got, want)
	}
}

func TestMirrorOfTheSuite(t *testing.T) {
	t.Parallel()
	const targets = `http://security.example/debian-security/ bookworm-security main
http://deb.example/debian/ bookworm-updates main
http://deb.example/debian/ bookworm contrib
http://deb.example/debian/ bookworm main
`
	for suite, want := range map[string]string{"bookworm": "http://deb.example/debian/", "trixie": ""} {
		if got := mirrorOf(targets, suite); got != want {
			t.Errorf("%s: %q, want %q", suite, got, want)
		}
	}
}

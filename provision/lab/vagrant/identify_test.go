package vagrant

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Public keys for these tests; the private keys do not exist.
const (
	keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJh+fqX4+eDFqwKI9e2eKuEFAtxQ36uETxUMxosCAVwn"
	keyB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICSue8Yon01Kty8UxMPC2jg97a1ZwH9D+rXN0EgDRHH3"
)

func TestReadLogin(t *testing.T) {
	t.Parallel()
	text := "Host w1\n  HostName 127.0.0.1\n  User vagrant\n  Port 2201\n  UserKnownHostsFile /dev/null\n" +
		"  IdentityFile \"/home/an admin/.vagrant/machines/w1/virtualbox/private_key\"\n  IdentitiesOnly yes\n"
	got, err := readLogin("w1", text)
	want := login{address: "127.0.0.1", user: "vagrant", port: 2201, identityFile: "/home/an admin/.vagrant/machines/w1/virtualbox/private_key"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, broken := range []string{"Host w1\n  Port 22\n", "Host w1\n  HostName a\n  User b\n  IdentityFile c\n  Port many\n"} {
		if got, err := readLogin("w1", broken); err == nil {
			t.Errorf("%q gives %+v", broken, got)
		}
	}
}

func TestParseKeysAndAddresses(t *testing.T) {
	t.Parallel()
	keys, addresses, err := parseKeys(keyA + " root@box\n" + keyB + " root@box\n--\n127.0.0.1/8\n10.0.2.15/24\n172.16.16.101/24\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{keyA, keyB}, keys); diff != "" {
		t.Error(diff)
	}
	if len(addresses) != 3 || addresses[2].String() != "172.16.16.101" {
		t.Errorf("addresses %v", addresses)
	}
	for _, broken := range []string{"", "no key\n--\n", keyA + "\n--\nno address\n"} {
		if _, _, err := parseKeys(broken); err == nil {
			t.Errorf("%q is accepted", broken)
		}
	}
}

func TestKnownHostsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	s := &session{dir: t.TempDir()}
	one, two := netip.MustParseAddr("172.16.16.100"), netip.MustParseAddr("172.16.16.101")
	s.settings.Machines = []machine{{Name: "cp1", Address: one}, {Name: "w1", Address: two}}
	if known, err := readKnownHosts(s.knownHostsPath()); err != nil || len(known) != 0 {
		t.Fatalf("no file: %v, %v", known, err)
	}
	gone := netip.MustParseAddr("172.16.16.102")
	want := map[netip.Addr][]string{one: {keyA, keyB}, two: {keyB}}
	if err := s.writeKnownHosts(map[netip.Addr][]string{one: want[one], two: want[two], gone: {keyA}}); err != nil {
		t.Fatal(err)
	}
	got, err := readKnownHosts(s.knownHostsPath())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("known hosts (-want +got):\n%s", diff)
	}
	if err := s.writeKnownHosts(map[netip.Addr][]string{one: {"no key"}}); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("no key: %v", err)
	}
}

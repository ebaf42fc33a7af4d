package workflow

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
)

func TestNodeIP(t *testing.T) {
	t.Parallel()
	address := func(prefix string) facts.Address {
		return facts.Address{Interface: "eth" + prefix[:1], Prefix: netip.MustParsePrefix(prefix)}
	}
	route := facts.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth1"}
	nat := &facts.Facts{Addresses: []facts.Address{address("10.0.2.15/24"), address("192.168.56.11/24")}, Routes: []facts.Route{route}}
	tests := []struct {
		name string
		spec config.Host
		have *facts.Facts
		want string
		hint bool
	}{
		{"what the inventory says, without asking", config.Host{NodeIP: "192.0.2.1", Address: "192.168.56.11"}, nil, "192.0.2.1", false},
		{"the address of SSH if the machine has it", config.Host{Address: "192.168.56.11"}, nat, "192.168.56.11", false},
		{"the default route's if SSH goes through NAT", config.Host{Address: "127.0.0.1"}, nat, "10.0.2.15", false},
		{"the default route's if SSH goes by a name", config.Host{Address: "box.example"}, nat, "10.0.2.15", false},
		{"none before the facts", config.Host{Name: "w", Address: "192.168.56.11"}, nil, "", false},
		{"none without a default route, with a hint", config.Host{Name: "w", Address: "box.example"}, &facts.Facts{}, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := &Host{Config: test.spec}
			if test.have != nil {
				m.SetFacts(test.have)
			}
			got, err := m.NodeIP()
			if (err == nil) != (test.want != "") || err == nil && got.String() != test.want || (Hint(err) != "") != test.hint {
				t.Errorf("got %s, %v, hint %q, want %s", got, err, Hint(err), test.want)
			}
		})
	}
}

func TestTheFirstControlPlaneIsTheInventorysFirst(t *testing.T) {
	t.Parallel()
	if got := hostsOf("w1", "cp1", "cp2").FirstControlPlane(); got == nil || got.Config.Name != "cp1" {
		t.Errorf("got %+v", got)
	}
	if got := hostsOf("w1").FirstControlPlane(); got != nil {
		t.Errorf("got %+v of a hosts without one", got)
	}
}

func TestHintIsTheInnermost(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"no error", WithHint(nil, "nothing"), ""},
		{"no hint", cause, ""},
		{"a hint", WithHint(cause, "do it"), "do it"},
		{"a hint that was wrapped", fmt.Errorf("on w1: %w", WithHint(cause, "do it")), "do it"},
		{"two hints", WithHint(fmt.Errorf("on w1: %w", WithHint(cause, "do it")), "do more"), "do it"},
		{"a hint among joined errors", errors.Join(cause, WithHint(cause, "do it")), "do it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Hint(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.err != nil && !errors.Is(test.err, cause) {
				t.Error("the cause is lost")
			}
		})
	}
}

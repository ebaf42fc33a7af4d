package lab

import (
	"net/netip"
	"strings"
	"testing"
)

func TestTheEndpointOfALab(t *testing.T) {
	t.Parallel()
	none, other := netip.Addr{}, netip.MustParseAddr("10.88.77.9")
	for _, test := range []struct {
		name   string
		have   netip.Addr
		exists bool
		ha     bool
		want   string // of the error, if it begins with "it"
	}{
		{"a new lab that is highly available gets a free address", none, false, true, "10.88.77.10"},
		{"a lab keeps its endpoint", other, true, true, "10.88.77.9"},
		{"a lab keeps its endpoint if it is not asked for", other, true, false, "10.88.77.9"},
		{"other labs have none", none, false, false, "invalid IP"},
		{"the endpoint of a cluster cannot change", none, true, true, "it was created without --ha"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := EndpointOf(test.have, test.exists, Spec{HA: test.ha}, prefix("10.88.77.0/24"))
			text := got.String()
			if err != nil {
				text = err.Error()
			}
			if !strings.HasPrefix(text, test.want) || (err != nil) != strings.HasPrefix(test.want, "it") {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestNobodyElseHasTheEndpoint(t *testing.T) {
	t.Parallel()
	// The providers count from .11 up and from .100 down.
	for _, controlPlane := range []func(int) int{func(i int) int { return 11 + i }, func(i int) int { return 100 - i }} {
		machines := MachinesOf(Spec{ControlPlanes: maxControlPlanes, Workers: maxWorkers}, prefix("10.88.77.0/24"), Layout{ControlPlane: controlPlane})
		for _, m := range machines {
			if m.Address == Nth(prefix("10.88.77.0/24"), endpointAddress) {
				t.Errorf("it is the address of %s", m.Name)
			}
		}
	}
	if endpointAddress == 1 || endpointAddress >= poolFirst && endpointAddress <= poolLast {
		t.Error("it is that of localhost, or one of MetalLB")
	}
}

package lab

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestMachinesHaveNamesRolesAndAddresses(t *testing.T) {
	t.Parallel()
	type brief struct {
		Name, Address string
		Roles         []config.Role
	}
	cp, worker := config.RoleControlPlane, config.RoleWorker
	for _, tc := range []struct {
		name string
		spec Spec
		want []brief
	}{
		{
			"control planes come first, workers far behind them",
			Spec{ControlPlanes: 2, Workers: 1},
			[]brief{
				{"cp1", "10.88.77.11", []config.Role{cp}},
				{"cp2", "10.88.77.12", []config.Role{cp}},
				{"w1", "10.88.77.101", []config.Role{worker}},
			},
		},
		{
			"a control plane alone takes work",
			Spec{ControlPlanes: 1},
			[]brief{{"cp1", "10.88.77.11", []config.Role{cp, worker}}},
		},
		{
			"the names of the well-known labs",
			Spec{ControlPlanes: 2, Workers: 1, Names: NamesClassic},
			[]brief{
				{"kmaster", "10.88.77.11", []config.Role{cp}},
				{"kmaster2", "10.88.77.12", []config.Role{cp}},
				{"kworker1", "10.88.77.101", []config.Role{worker}},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got []brief
			for _, m := range MachinesOf(tc.spec, prefix("10.88.77.0/24"), Layout{ControlPlane: func(i int) int { return 11 + i }}) {
				got = append(got, brief{m.Name, m.Address.String(), m.Roles})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

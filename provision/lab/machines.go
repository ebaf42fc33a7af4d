package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"slipway.io/slipway/provision/config"
)

// Names is a naming scheme for the machines of a lab.
type Names string

const (
	// NamesShort are cp1, cp2, … and w1, w2, …
	NamesShort Names = "short"
	// NamesClassic are kmaster, kmaster2, … and kworker1, kworker2, …, as in many
	// tutorials.
	NamesClassic Names = "classic"
)

// naming returns the name of the n-th machine of a role, counted from 1.
type naming struct{ controlPlane, worker func(n int) string }

func namings() map[Names]naming {
	numbered := func(prefix string) func(int) string {
		return func(n int) string { return fmt.Sprintf("%s%d", prefix, n) }
	}
	classic := func(n int) string {
		if n == 1 {
			return "kmaster"
		}
		return fmt.Sprintf("kmaster%d", n)
	}
	return map[Names]naming{
		"":           {numbered("cp"), numbered("w")}, // the default
		NamesShort:   {numbered("cp"), numbered("w")},
		NamesClassic: {classic, numbered("kworker")},
	}
}

// NamesOf is the naming scheme of a lab.
func NamesOf(l *Lab) Names {
	if _, err := l.Machine(namings()[NamesClassic].controlPlane(1)); err == nil {
		return NamesClassic
	}
	return NamesShort
}

// firstWorker is the last byte of the first worker's address.
const firstWorker = 101

// MachinesOf lists the names, roles and addresses of the machines of a spec. The
// i-th control plane, counted from 0, has the address controlPlane(i) in the
// subnet; the workers have .101, .102, …
func MachinesOf(spec Spec, subnet netip.Prefix, controlPlane func(i int) int) []Machine {
	names := namings()[spec.Names]
	var machines []Machine
	for i := range spec.ControlPlanes {
		roles := []config.Role{config.RoleControlPlane}
		if spec.Workers == 0 {
			roles = append(roles, config.RoleWorker)
		}
		machines = append(machines, Machine{Name: names.controlPlane(i + 1), Roles: roles, Address: Nth(subnet, controlPlane(i))})
	}
	for i := range spec.Workers {
		machines = append(machines, Machine{
			Name: names.worker(i + 1), Roles: []config.Role{config.RoleWorker}, Address: Nth(subnet, firstWorker+i),
		})
	}
	return machines
}

// Nth is the n-th address of a /24.
func Nth(subnet netip.Prefix, n int) netip.Addr {
	bytes := subnet.Masked().Addr().As4()
	bytes[3] = byte(n)
	return netip.AddrFrom4(bytes)
}

// CheckNoneRemoved returns an error if a lab has a machine that the spec does not
// have: a lab does not shrink.
func CheckNoneRemoved(have, want []string) error {
	for _, name := range have {
		if !slices.Contains(want, name) {
			return fmt.Errorf("a lab cannot shrink, and machine %s is not in its new size: delete the lab first (slipway lab down)", name)
		}
	}
	return nil
}

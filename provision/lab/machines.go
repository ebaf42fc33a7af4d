package lab

import (
	"fmt"
	"net/netip"

	"slipway.io/slipway/provision/config"
)

// Names is how the machines of a lab are called.
type Names string

const (
	// NamesShort are cp1, cp2, … and w1, w2, …
	NamesShort Names = "short"
	// NamesClassic are those of the well-known labs: kmaster, kmaster2, … and
	// kworker1, kworker2, …
	NamesClassic Names = "classic"
)

// naming gives the n-th machine of a role, from 1, its name.
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

// NamesOf is how the machines of a lab are called.
func NamesOf(l *Lab) Names {
	if _, err := l.Machine(namings()[NamesClassic].controlPlane(1)); err == nil {
		return NamesClassic
	}
	return NamesShort
}

// firstWorker is the last byte of the first worker's address.
const firstWorker = 101

// MachinesOf lists the machines that a spec asks for in a /24: their names,
// roles and addresses. The i-th control plane, from 0, is at
// controlPlane(i); workers are at .101, .102, …
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

// Nth is the address of that number in a /24.
func Nth(subnet netip.Prefix, n int) netip.Addr {
	bytes := subnet.Masked().Addr().As4()
	bytes[3] = byte(n)
	return netip.AddrFrom4(bytes)
}

// Missed is an error if a lab has a machine that is not asked for: none is
// taken away without a word.
func Missed(have, want []string) error {
	asked := map[string]bool{}
	for _, name := range want {
		asked[name] = true
	}
	for _, name := range have {
		if !asked[name] {
			return fmt.Errorf("it has machine %s, which is not asked for now: take the lab down first to make it smaller", name)
		}
	}
	return nil
}

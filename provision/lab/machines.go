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

// firstWorker is the last byte of the first worker's address, unless a Layout says
// otherwise.
const firstWorker = 101

// Layout has the last byte of the address of the i-th control plane and of the i-th
// worker, counted from 0. Without Worker, the workers have .101, .102, …
type Layout struct{ ControlPlane, Worker func(i int) int }

// MachinesOf lists the names, roles and addresses of the machines of a spec: those that
// it names, or else as many as it says.
func MachinesOf(spec Spec, subnet netip.Prefix, layout Layout) []Machine {
	if len(spec.Machines) > 0 {
		return spec.Machines
	}
	if layout.Worker == nil {
		layout.Worker = func(i int) int { return firstWorker + i }
	}
	names := namings()[spec.Names]
	var machines []Machine
	for i := range spec.ControlPlanes {
		roles := []config.Role{config.RoleControlPlane}
		if spec.Workers == 0 {
			roles = append(roles, config.RoleWorker)
		}
		machines = append(machines, Machine{Name: names.controlPlane(i + 1), Roles: roles, Address: Nth(subnet, layout.ControlPlane(i))})
	}
	for i := range spec.Workers {
		machines = append(machines, Machine{
			Name: names.worker(i + 1), Roles: []config.Role{config.RoleWorker}, Address: Nth(subnet, layout.Worker(i)),
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

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"slipway.io/slipway/provision/config"
)

// subnetBits is the prefix length of the networks of labs.
const subnetBits = 24

// WithHostsOf returns the spec with a machine for each host of an inventory, with the
// host's name, roles and address, and with their subnet.
func (s Spec) WithHostsOf(cluster *config.Cluster) (Spec, error) {
	s.Machines, s.ControlPlanes, s.Workers = nil, 0, 0
	var problems []error
	var workers []Machine
	for _, host := range cluster.Hosts {
		address, err := netip.ParseAddr(host.Address)
		if err != nil || !address.Is4() {
			problems = append(problems, fmt.Errorf("host %s: address %q: a machine needs an IPv4 address", host.Name, host.Address))
			continue
		}
		m := Machine{Name: host.Name, Roles: host.Roles, Address: address}
		switch {
		case slices.Contains(host.Roles, config.RoleEtcd):
			problems = append(problems, fmt.Errorf("host %s: role %s: a lab has its etcd on the control planes", host.Name, config.RoleEtcd))
		case slices.Contains(host.Roles, config.RoleControlPlane):
			s.Machines = append(s.Machines, m) // control planes are first
			s.ControlPlanes++
		default:
			workers = append(workers, m)
			s.Workers++
		}
	}
	s.Machines = append(s.Machines, workers...)
	if err := errors.Join(problems...); err != nil {
		return s, err
	}
	if len(s.Machines) == 0 {
		return s, errors.New("the inventory has no hosts")
	}
	subnet := netip.PrefixFrom(s.Machines[0].Address, subnetBits).Masked()
	if s.Subnet.IsValid() && s.Subnet.Masked() != subnet {
		return s, fmt.Errorf("the hosts are in %s, not in %s", subnet, s.Subnet)
	}
	s.Subnet = subnet
	return s, nil
}

// WithMachinesOf returns the spec with the machines of a lab, if they are not those of a
// naming scheme.
func (s Spec) WithMachinesOf(l *Lab) (spec Spec, named bool) {
	generated := MachinesOf(Spec{ControlPlanes: maxControlPlanes, Workers: maxWorkers, Names: NamesOf(l)},
		netip.PrefixFrom(netip.IPv4Unspecified(), subnetBits), Layout{ControlPlane: func(i int) int { return i }})
	for _, m := range l.Machines {
		if !slices.ContainsFunc(generated, func(g Machine) bool { return g.Name == m.Name }) {
			s.Machines = l.Machines
			return s, true
		}
	}
	return s, false
}

// checkMachines returns the errors of the machines that a spec names.
func (s Spec) checkMachines() []error {
	var errs []error
	subnet := s.Subnet.Masked()
	for _, m := range s.Machines {
		last := m.Address.AsSlice()[3]
		switch {
		case subnet.IsValid() && !subnet.Contains(m.Address):
			errs = append(errs, fmt.Errorf("machine %s: address %s is not in %s: a lab has one /%d", m.Name, m.Address, subnet, subnetBits))
		case last == 0 || last == 1 || last == 255:
			errs = append(errs, fmt.Errorf("machine %s: address %s: .0 and .255 are reserved, and this computer has .1", m.Name, m.Address))
		case s.HA && last == endpointAddress:
			errs = append(errs, fmt.Errorf("machine %s: address %s is that of the lab's endpoint", m.Name, m.Address))
		case slices.Contains(s.Addons, config.AddonMetalLB) && last >= poolFirst && last <= poolLast:
			errs = append(errs, fmt.Errorf("machine %s: MetalLB assigns the address %s (.%d to .%d)", m.Name, m.Address, poolFirst, poolLast))
		}
	}
	return errs
}

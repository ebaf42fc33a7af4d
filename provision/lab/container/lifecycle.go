package container

import (
	"context"
	"fmt"
	"path/filepath"

	"slipway.io/slipway/provision/lab"
)

// plan chooses the subnet and the machines of the lab and records them, before any
// of it is created.
func (s *session) plan(ctx context.Context, spec lab.Spec) error {
	subnet := s.state.Subnet
	switch {
	case !subnet.IsValid():
		lock, err := s.lockShared(ctx, filepath.Join(filepath.Dir(s.dir), "subnets.lock"), "another lab to choose its subnet")
		if err != nil {
			return err
		}
		defer lock.Release()
		routes, err := readRoutes(ctx)
		if err != nil {
			return err
		}
		if subnet, err = chooseSubnet(spec.Subnet, append(routes, s.otherSubnets()...)); err != nil {
			return err
		}
	case spec.Subnet.IsValid() && spec.Subnet.Masked() != subnet:
		return fmt.Errorf("its subnet is %s: delete the lab first (slipway lab down) to change it to %s", subnet, spec.Subnet)
	}
	machines, err := merge(s.state.Machines, lab.MachinesOf(spec, subnet, layout))
	if err != nil {
		return err
	}
	endpoint, err := lab.EndpointOf(s.state.Endpoint, len(s.state.Machines) > 0, spec, subnet)
	if err != nil {
		return err
	}
	return s.record(func() {
		s.state.Subnet = subnet
		s.state.Endpoint = endpoint
		s.state.Bridge = s.bridgeName()
		s.state.Machines = machines
	})
}

// remove deletes everything that the state records: processes, cgroups, the bridge,
// and then the directory with the trees and the state itself.
func (s *session) remove(ctx context.Context) error {
	err := s.eachMachine(func(m *machine) error {
		if err := s.stop(ctx, m, downTimeout); err != nil {
			return err
		}
		return removeTree(s.machineDir(m))
	})
	if err != nil {
		return err
	}
	if err := s.stopRepository(ctx); err != nil {
		return err
	}
	if err := s.removeBridge(ctx); err != nil {
		return fmt.Errorf("bridge %s: %w", s.state.Bridge, err)
	}
	if err := removeTree(s.dir); err != nil {
		return err
	}
	if err := s.restoreSysctls(); err != nil {
		return err
	}
	s.Logf("", "is deleted")
	return nil
}

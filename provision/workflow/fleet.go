package workflow

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/facts"
	"slipway.io/slipway/provision/remote"
)

// Machine is a host of the inventory with the means to work on it.
type Machine struct {
	// Spec is what the inventory says.
	Spec config.Host
	// Host is the real machine: neither recorded nor journaled.
	Host remote.Host

	facts atomic.Pointer[facts.Facts]
	// planned: a plan has recorded a change of this machine.
	planned atomic.Bool
}

// Facts of the machine; nil before they were read.
func (m *Machine) Facts() *facts.Facts { return m.facts.Load() }

// SetFacts is called by the phase that reads them.
func (m *Machine) SetFacts(f *facts.Facts) { m.facts.Store(f) }

// NodeIP is the address that the cluster uses for this machine, the one fact
// from which kubelet's --node-ip, the advertiseAddress and the CNI's interface
// all come: what the inventory says, else the address that SSH is asked on if
// the machine has it, else the one on the default route.
func (m *Machine) NodeIP() (netip.Addr, error) {
	if m.Spec.NodeIP != "" {
		return netip.ParseAddr(m.Spec.NodeIP)
	}
	f := m.Facts()
	if f == nil {
		return netip.Addr{}, fmt.Errorf("%s: the node's address is not known before its facts are", m.Spec.Name)
	}
	if addr, err := netip.ParseAddr(m.Spec.Address); err == nil && f.HasAddress(addr) {
		return addr, nil
	}
	if addr := f.DefaultAddress(); addr.IsValid() {
		return addr, nil
	}
	return netip.Addr{}, WithHint(
		fmt.Errorf("%s: no address for the node: %s is not on the machine, and it has no default route", m.Spec.Name, m.Spec.Address),
		"set nodeIP for this host in the inventory")
}

// Fleet is all machines of an inventory, in its order.
type Fleet struct {
	Machines []*Machine
}

// Names are the hosts' names.
func (f *Fleet) Names() []string {
	names := make([]string, 0, len(f.Machines))
	for _, m := range f.Machines {
		names = append(names, m.Spec.Name)
	}
	return names
}

// FirstControlPlane is where kubeadm init runs; nil if there is none.
func (f *Fleet) FirstControlPlane() *Machine {
	for _, m := range f.Machines {
		if m.Spec.Has(config.RoleControlPlane) {
			return m
		}
	}
	return nil
}

// at returns the machines of a place; the installer is one nil machine.
func (f *Fleet) at(p Place) []*Machine {
	switch p {
	case Installer:
		return []*Machine{nil}
	case FirstControlPlane:
		return []*Machine{f.FirstControlPlane()}
	case Workers:
		var workers []*Machine
		for _, m := range f.Machines {
			if !m.Spec.Has(config.RoleControlPlane) {
				workers = append(workers, m)
			}
		}
		return workers
	default:
		return f.Machines
	}
}

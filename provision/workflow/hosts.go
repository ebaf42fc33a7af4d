package workflow

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/plan"
)

// Host is a host of the inventory with the means to work on it.
type Host struct {
	// Config is what the inventory says.
	Config config.Host
	// Conn is the real machine: neither recorded nor journaled.
	Conn host.Host

	facts atomic.Pointer[facts.Facts]
	// plan says whether a plan has recorded a change of this host.
	plan plan.State
}

// Facts of the machine; nil before they were read.
func (m *Host) Facts() *facts.Facts { return m.facts.Load() }

// SetFacts is called by the phase that reads them.
func (m *Host) SetFacts(f *facts.Facts) { m.facts.Store(f) }

// NodeIP is the address that the cluster uses for this machine, the one fact
// from which kubelet's --node-ip, the advertiseAddress and the CNI's interface
// all come: what the inventory says, else the address that SSH is asked on if
// the machine has it, else the one on the default route.
func (m *Host) NodeIP() (netip.Addr, error) {
	if m.Config.NodeIP != "" {
		return netip.ParseAddr(m.Config.NodeIP)
	}
	f := m.Facts()
	if f == nil {
		return netip.Addr{}, fmt.Errorf("%s: the node's address is not known before its facts are", m.Config.Name)
	}
	if addr, err := netip.ParseAddr(m.Config.Address); err == nil && f.HasAddress(addr) {
		return addr, nil
	}
	if addr := f.DefaultAddress(); addr.IsValid() {
		return addr, nil
	}
	return netip.Addr{}, WithHint(
		fmt.Errorf("%s: no address for the node: %s is not on the machine, and it has no default route", m.Config.Name, m.Config.Address),
		"set nodeIP for this host in the inventory")
}

// Hosts is all machines of an inventory, in its order.
type Hosts struct {
	All []*Host
}

// Names are the hosts' names.
func (f *Hosts) Names() []string {
	names := make([]string, 0, len(f.All))
	for _, m := range f.All {
		names = append(names, m.Config.Name)
	}
	return names
}

// FirstControlPlane is where kubeadm init runs; nil if there is none.
func (f *Hosts) FirstControlPlane() *Host {
	for _, m := range f.All {
		if m.Config.Has(config.RoleControlPlane) {
			return m
		}
	}
	return nil
}

// at returns the machines of a place; the installer is one nil machine.
func (f *Hosts) at(p Place) []*Host {
	switch p {
	case Localhost:
		return []*Host{nil}
	case FirstControlPlane:
		return []*Host{f.FirstControlPlane()}
	case Workers:
		var workers []*Host
		for _, m := range f.All {
			if !m.Config.Has(config.RoleControlPlane) {
				workers = append(workers, m)
			}
		}
		return workers
	default:
		return f.All
	}
}

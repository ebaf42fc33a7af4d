package workflow

import (
	"cmp"

	"slipway.io/slipway/provision/config"
)

// Place is where a phase runs: on every host that it selects, or on localhost.
// The zero value is EachHost.
type Place struct {
	name  string
	once  bool
	hosts func(*Hosts) []*Host
}

// The places that phases share.
var (
	// EachHost is every host of the inventory.
	EachHost = Where("each host", func(*Host) bool { return true })
	// ObservedHosts is every host that a run reads: also those that leave the cluster.
	ObservedHosts = Place{name: "each host, also if it leaves the cluster", hosts: (*Hosts).all}
	// Nodes is every host that is, or will be, a node of the cluster.
	Nodes = Where("each node", (*Host).isNode)
	// EtcdHosts is every host that runs etcd and is not a node.
	EtcdHosts = Where("each etcd host", (*Host).isEtcdHost)
	// EtcdSeed is one host: Hosts.EtcdSeed.
	EtcdSeed = Place{name: "first etcd host", once: true, hosts: func(all *Hosts) []*Host {
		if seed := all.EtcdSeed(); seed != nil {
			return []*Host{seed}
		}
		return nil
	}}
	// ControlPlanes is every control plane.
	ControlPlanes = Where("each control plane", (*Host).isControlPlane)
	// Seed is one host: Hosts.Seed. What a phase does through the API server, it
	// does here.
	Seed = Place{name: "first control plane", once: true, hosts: func(all *Hosts) []*Host {
		if seed := all.Seed(); seed != nil {
			return []*Host{seed}
		}
		return nil
	}}
	// OtherControlPlanes is every control plane but the seed.
	OtherControlPlanes = Place{name: "each other control plane", hosts: func(all *Hosts) []*Host {
		return all.Where(func(h *Host) bool { return h.isControlPlane() && h != all.Seed() })
	}}
	// RunningControlPlanes is every control plane that RunsAPIServer selects, also if it
	// leaves the cluster.
	RunningControlPlanes = Place{name: "each control plane that runs, also if it leaves the cluster", hosts: func(all *Hosts) []*Host {
		return all.WithLeaving().Where(all.RunsAPIServer)
	}}
	// NewControlPlanes is every control plane that RunsAPIServer does not select.
	NewControlPlanes = Place{name: "each new control plane", hosts: func(all *Hosts) []*Host {
		return all.Where(func(h *Host) bool { return h.isControlPlane() && !all.RunsAPIServer(h) })
	}}
	// JoinedControlPlanes is every control plane that Hosts.Joined selects.
	JoinedControlPlanes = Place{name: "each control plane that has joined", hosts: func(all *Hosts) []*Host {
		return all.Where(func(h *Host) bool { return h.isControlPlane() && all.Joined(h) })
	}}
	// JoinedWorkers is every worker that Hosts.Joined selects.
	JoinedWorkers = Place{name: "each worker that has joined", hosts: func(all *Hosts) []*Host {
		return all.Where(func(h *Host) bool { return h.isNode() && !h.isControlPlane() && all.Joined(h) })
	}}
	// Workers is every node that is not a control plane.
	Workers = Where("each worker", func(h *Host) bool { return h.isNode() && !h.isControlPlane() })
	// Localhost is the computer that slipway runs on. The Step has no host.
	Localhost = Place{name: "localhost", once: true, hosts: func(*Hosts) []*Host { return []*Host{nil} }}
)

// Where returns the place of every host for which selects returns true. Its
// name completes "runs on", as in "each worker".
func Where(name string, selects func(*Host) bool) Place {
	return Place{name: name, hosts: func(all *Hosts) []*Host { return all.Where(selects) }}
}

// HostNamed returns the place of a single host of the inventory.
func HostNamed(name string) Place {
	place := Where(name, func(h *Host) bool { return h.Config.Name == name })
	place.once = true
	return place
}

// String is the place as the docs and `slipway phase list` show it.
func (p Place) String() string { return cmp.Or(p.name, EachHost.name) }

// Once reports whether a phase runs a single time here, however many hosts
// there are.
func (p Place) Once() bool { return p.once }

// Hosts returns the hosts that the place selects, in the order of the
// inventory. Localhost is a single nil.
func (p Place) Hosts(all *Hosts) []*Host {
	if p.hosts == nil {
		return all.All
	}
	return p.hosts(all)
}

func (h *Host) isEtcdHost() bool { return h.Config.Has(config.RoleEtcd) }

func (h *Host) isNode() bool { return !h.isEtcdHost() }

func (h *Host) isControlPlane() bool { return h.Config.Has(config.RoleControlPlane) }

// Package cluster is what slipway observes of a cluster, on its hosts and through
// its API, and what follows from it. Decisions follow from observation, never from
// the order of the inventory.
package cluster

import (
	"fmt"
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
)

// Host is a host of the inventory, as conflicts are found between hosts.
type Host struct {
	// Name, ControlPlane and Leaving are what the inventory says. A host that leaves
	// the cluster may still have it.
	Name                  string
	ControlPlane, Leaving bool
	// Etcd: it runs etcd, and is not a node.
	Etcd bool
	// Answers: the host is a member of etcd that answered, and the others know it.
	Answers bool
	// Facts are nil if the host was not read.
	Facts *facts.Facts
}

// State is what a run observed of the cluster. The zero value is that of hosts
// without a cluster.
type State struct {
	// Exists: at least one host belongs to a cluster.
	Exists bool
	// Silent is why the API server of an existing cluster did not answer; nil if it
	// did. Fields below that come from the API are empty then.
	Silent error
	// Version is the Kubernetes version of the control plane, as kubeadm keeps it:
	// "v1.36.4".
	Version string
	// Fixed are the fields that cannot change.
	Fixed Fixed
	// EtcdEndpoints are the client URLs of an etcd that does not run on the control
	// planes, as kubeadm has them.
	EtcdEndpoints []string
	// Settings are the configuration of the components.
	Settings Settings
	// Nodes are all Nodes, sorted by name.
	Nodes []Node
	// Record is slipway's own; nil if the cluster has none yet.
	Record *Record
	// Sets are the names of the pod network and the addons that slipway has installed.
	Sets []string
	// Lease is the lock of the cluster; nil if nobody has taken it yet.
	Lease *coordinationv1.Lease

	// Upgrade is what matters for another version; nil if it was not read.
	Upgrade *Upgrade

	// Members are those of etcd, as MembersOf answered, a host of the inventory;
	// empty if no host has etcd. MembersErr is why it did not answer.
	Members    []kube.EtcdMember
	MembersOf  string
	MembersErr error
	// Leader is the member that leads the others; empty if it is not known.
	Leader string
	// Answering are the hosts whose etcd answered; if members have a majority, those
	// without it are not among them.
	Answering []string
}

// Answers reports whether there is a cluster, and its API server answered. That of a
// nil State has not been tried.
func (s *State) Answers() bool { return s != nil && s.Exists && s.Silent == nil }

// EtcdAnswers reports whether the etcd of a host answered, and is a member. A nil State
// has not asked.
func (s *State) EtcdAnswers(name string) bool {
	return s != nil && slices.Contains(s.Answering, name) &&
		slices.ContainsFunc(s.Members, func(m kube.EtcdMember) bool { return m.Name == name })
}

// KnownNode returns the Node of that name, or nil. It is an error if the API server of an
// existing cluster did not answer: there may be one.
func (s *State) KnownNode(name string) (*Node, error) {
	if s != nil && s.Exists && s.Silent != nil {
		return nil, fmt.Errorf("it is unknown whether %s has a Node: %w", name, s.Silent)
	}
	return s.Node(name), nil
}

// ReadLease returns the lock of the cluster if it was read. A nil State has none.
func (s *State) ReadLease() *coordinationv1.Lease {
	if s == nil {
		return nil
	}
	return s.Lease
}

// Node is a Node of the cluster.
type Node struct {
	Name string `json:"name"`
	// Version is that of its kubelet.
	Version string `json:"version"`
	// Ready is the Node's condition, Why the reason of kubelet if it is not.
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"`
	// ControlPlane: kubeadm has labeled it as a control plane.
	ControlPlane bool `json:"-"`
	// MachineID is that of the machine on which its kubelet runs or ran last.
	MachineID string `json:"-"`
	// Addresses are its internal addresses.
	Addresses []string `json:"addresses,omitempty"`
	// Cordoned: no new pods are scheduled on it.
	Cordoned bool `json:"cordoned,omitempty"`
	// CordonReason is why slipway has cordoned it; empty if somebody else has.
	CordonReason kube.CordonReason `json:"cordonReason,omitempty"`
}

// Node returns the Node of that name, or nil. A nil State has none.
func (s *State) Node(name string) *Node {
	if s == nil {
		return nil
	}
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i]
		}
	}
	return nil
}

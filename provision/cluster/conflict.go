package cluster

import (
	"fmt"
	"slices"

	"slipway.io/slipway/provision/host/facts"
)

// Conflict is a state of hosts that only a person can resolve. A run that changed
// anything would damage a cluster.
type Conflict struct {
	// Host is its name in the inventory.
	Host string
	// Problem and Remedy complete a finding: what is wrong, and what to do.
	Problem, Remedy string
}

// Seed returns the index of the control plane that has the cluster: one with the
// key of the CA and data of etcd, or an API server that uses an etcd elsewhere; before all
// one whose etcd answers, since another one may have the data of a member that was removed;
// or, after an interrupted init, one with the key alone. One whose join was interrupted has
// both too, and is the seed only if there is no other. A control plane that leaves is the
// seed only while no other one has the cluster, and no cluster starts there. Without any, it
// is the first control plane, on which the cluster starts. It is -1 without a control plane.
func Seed(hosts []Host) int {
	member := func(h Host) bool { return h.Facts != nil && h.Facts.Entrance() }
	joining := func(h Host) bool { return h.Facts.Joining() }
	for _, has := range []func(Host) bool{
		func(h Host) bool { return member(h) && !joining(h) && !h.Leaving && h.Answers },
		func(h Host) bool { return member(h) && !joining(h) && !h.Leaving },
		func(h Host) bool { return member(h) && !joining(h) },
		func(h Host) bool { return h.Facts != nil && h.Facts.Exists(facts.CAKey) && !joining(h) && !h.Leaving },
		func(h Host) bool { return member(h) && !h.Leaving },
		func(h Host) bool { return !h.Leaving },
	} {
		if i := slices.IndexFunc(hosts, func(h Host) bool { return h.ControlPlane && has(h) }); i >= 0 {
			return i
		}
	}
	return -1
}

// Conflicts returns why no run may change these hosts; none if they belong to one
// cluster, or to none.
func Conflicts(hosts []Host) []Conflict {
	var found []Conflict
	seed := Seed(hosts)
	found = append(found, etcdConflicts(hosts)...)
	for i, h := range hosts {
		if h.Facts == nil || h.Etcd || !h.Facts.Joined() {
			continue
		}
		k := h.Facts.Kubernetes
		if node := k.NodeName(); node != "" && node != h.Name {
			found = append(found, renamed(hosts, i, node)...)
		}
		if h.Facts.Entrance() && !h.ControlPlane {
			found = append(found, Conflict{
				h.Name, "it is a control plane of a cluster, but a worker in the inventory",
				"add the role control-plane to this host",
			})
		}
		if f := h.Facts; h.ControlPlane && !h.Leaving && i != seed && f.Exists(facts.KubeletConf) && !f.Exists(facts.CAKey) && !f.Joining() {
			found = append(found, Conflict{
				h.Name, "it is a worker of a cluster, but a control plane in the inventory",
				fmt.Sprintf("remove the role control-plane from this host; or let it join again: slipway reset --yes --hosts %s, then slipway apply", h.Name),
			})
		}
		if i != seed && seed >= 0 && hosts[seed].Facts != nil {
			found = append(found, foreign(h, hosts[seed])...)
		}
	}
	return found
}

// renamed returns the conflict of a host whose kubelet is a node of another name.
func renamed(hosts []Host, i int, node string) []Conflict {
	h := hosts[i]
	problem := fmt.Sprintf("its kubelet is node %s of a cluster, and a node cannot be renamed", node)
	alone := i == Seed(hosts) && !slices.ContainsFunc(hosts, func(other Host) bool {
		return other.Name != h.Name && (other.Facts == nil || other.Facts.Joined())
	})
	switch {
	case alone && !h.Facts.Exists(facts.EtcdMember) && !h.Facts.Kubernetes.Finalized:
		return nil // init was interrupted before it stored the name, and starts over
	case alone:
		return []Conflict{{h.Name, problem, fmt.Sprintf(
			"set name: %s in the inventory, or remove the cluster, which has no other node, with its data: slipway reset --yes --hosts %s, then slipway apply", node, h.Name)}}
	}
	if h.Leaving {
		return []Conflict{{h.Name, problem, fmt.Sprintf("set name: %s in the inventory, or correct the address of the host", node)}}
	}
	return []Conflict{{h.Name, problem, fmt.Sprintf(
		"set name: %s in the inventory, or remove the node: slipway reset --yes --hosts %s with the old name, then slipway apply", node, node)}}
}

// foreign returns the conflict of a host that does not belong to the cluster of
// the seed. A CA that is unknown is none: preflight reports files that are missing or damaged.
func foreign(h, seed Host) []Conflict {
	another := compare(h, seed) == AnotherCluster
	have, want := h.Facts.Kubernetes.CAHash(), seed.Facts.Kubernetes.CAHash()
	reset := fmt.Sprintf("remove it from the old cluster: slipway reset --yes --hosts %s, then slipway apply", h.Name)
	switch {
	case h.Leaving && !seed.Facts.Joined(): // a reset could destroy the node of a cluster that lives
		return []Conflict{{
			h.Name, fmt.Sprintf("it belongs to a cluster, but no control plane of the inventory has the data of that cluster (%s has none)", seed.Name),
			"add the control plane of the cluster to the inventory; or delete this host from it, if it belongs to another cluster",
		}}
	case h.Leaving && another:
		return []Conflict{{
			h.Name, fmt.Sprintf("it belongs to another cluster than %s, which still has its node or etcd member: its CA is %.15s…, not %.15s…", seed.Name, have, want),
			"correct the address of the host, or set state: lost if the machine of the node does not exist any more",
		}}
	case !seed.Facts.Joined():
		return []Conflict{{
			h.Name, fmt.Sprintf("it belongs to a cluster, but no control plane of the inventory has the data of that cluster (%s has none)", seed.Name),
			"add the control plane of the cluster to the inventory, or " + reset,
		}}
	case another:
		return []Conflict{{
			h.Name, fmt.Sprintf("it belongs to another cluster than %s: its CA is %.15s…, not %.15s…", seed.Name, have, want), reset,
		}}
	}
	return nil
}

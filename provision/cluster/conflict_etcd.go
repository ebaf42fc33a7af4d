package cluster

import (
	"fmt"
	"slices"

	"slipway.io/slipway/provision/host/facts"
)

// etcdConflicts returns why no run may change hosts that run etcd alone, or are to run it.
// Their data is all that a cluster has.
func etcdConflicts(hosts []Host) []Conflict {
	var found []Conflict
	authority := authorityOf(hosts)
	exists := slices.ContainsFunc(hosts, func(h Host) bool { return h.ControlPlane && h.Facts != nil && h.Facts.Exists(facts.CAKey) })
	for _, h := range hosts {
		if h.Facts == nil {
			continue
		}
		serves, hash := h.Facts.Exists(facts.EtcdService), h.Facts.Kubernetes.EtcdCAHash()
		reset := fmt.Sprintf("if nothing needs its data any more, delete it: slipway reset --hosts %s", h.Name)
		switch {
		case serves && !h.Etcd:
			found = append(found, Conflict{h.Name, "it runs etcd and is not a node, but the inventory gives it no role etcd", "set roles: [etcd] for this host; or, " + reset})
		case h.Etcd && h.Facts.Joined():
			found = append(found, Conflict{
				h.Name, "it belongs to a cluster, or has the data of an etcd that slipway did not set up, and has the role etcd in the inventory",
				"use another host for etcd; or, " + reset,
			})
		case h.Etcd && exists && !h.Facts.Exists(facts.EtcdMember):
			found = append(found, Conflict{
				h.Name, "the cluster exists, and this host has no data of etcd: a member that starts without its data damages the others",
				"restore /var/lib/etcd of this host, or reinstall the cluster: slipway reset, then slipway apply",
			})
		case h.Etcd && serves && outlived(h, hosts):
			found = append(found, Conflict{
				h.Name, "it has the data of an etcd that was removed from the other hosts: they would start without data as members that have started before, and fail",
				fmt.Sprintf("delete its data: slipway reset --hosts %s, then slipway apply", h.Name),
			})
		case (h.Etcd || h.ControlPlane && !h.Leaving && h.Facts.Joined()) && authority != nil && hash != "" && hash != authority.Facts.Kubernetes.EtcdCAHash():
			found = append(found, Conflict{h.Name, fmt.Sprintf("it belongs to another etcd than %s: the CA of etcd is %.15s…, not %.15s…",
				authority.Name, hash, authority.Facts.Kubernetes.EtcdCAHash()), reset})
		}
	}
	return found
}

// outlived reports whether a host has the data of an etcd that a reset has removed from
// others, for example while this host was off. After an interrupted apply, the hosts without
// data have a journal: slipway prepares all of them before etcd starts on any.
func outlived(h Host, hosts []Host) bool {
	if !h.Facts.Exists(facts.EtcdMember) || h.Facts.Exists(facts.ResetMark) {
		return false
	}
	clusterMayExist := func(other Host) bool {
		return !other.Etcd && (other.Facts == nil && other.ControlPlane || other.Facts != nil && other.Facts.Joined())
	}
	removed := func(other Host) bool {
		return other.Etcd && other.Facts != nil && !other.Facts.Exists(facts.EtcdMember) &&
			(!other.Facts.Exists(facts.Journal) || other.Facts.Exists(facts.ResetMark))
	}
	return !slices.ContainsFunc(hosts, clusterMayExist) && slices.ContainsFunc(hosts, removed)
}

// authorityOf returns the first host with the role etcd that has the CA of etcd, or nil.
func authorityOf(hosts []Host) *Host {
	for i, h := range hosts {
		if h.Etcd && h.Facts != nil && h.Facts.Kubernetes.EtcdCAHash() != "" {
			return &hosts[i]
		}
	}
	return nil
}

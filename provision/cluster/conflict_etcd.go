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
		reset := fmt.Sprintf("if nothing needs its data any more, delete it: slipway reset --yes --hosts %s", h.Name)
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
				"restore /var/lib/etcd of this host, or reinstall the cluster: slipway reset --yes, then slipway apply",
			})
		case h.Etcd && serves && outlived(h, hosts):
			found = append(found, Conflict{
				h.Name, "it has the data of an etcd that was removed from the other hosts: they would start without data as members that have started before, and fail",
				fmt.Sprintf("delete its data: slipway reset --yes --hosts %s, then slipway apply", h.Name),
			})
		case (h.Etcd || h.ControlPlane && !h.Leaving && h.Facts.Joined()) && authority != nil && hash != "" && hash != authority.Facts.Kubernetes.EtcdCAHash():
			found = append(found, Conflict{h.Name, fmt.Sprintf("it belongs to another etcd than %s: the CA of etcd is %.15s…, not %.15s…",
				authority.Name, hash, authority.Facts.Kubernetes.EtcdCAHash()), reset})
		}
	}
	return found
}

// EtcdKindConflicts returns the control planes whose etcd is not of the kind that the
// inventory wants: external, or a member on each of them. The hosts show it also while the
// API server, which has the record, is silent.
func EtcdKindConflicts(external bool, hosts []Host) []Conflict {
	const cannot = "; the kind of etcd of a cluster cannot change"
	var found []Conflict
	for _, h := range hosts {
		switch {
		case h.Facts == nil || !h.ControlPlane || !h.Facts.Joined() || h.Facts.Joining():
		case external && stacked(h.Facts):
			found = append(found, Conflict{
				h.Name, "it has a member of etcd of its own, and the inventory has external etcd" + cannot,
				"remove the hosts with the role etcd and etcd.external from the inventory, or reinstall the cluster: slipway reset --yes, then slipway apply",
			})
		case !external && connected(h.Facts) && !stacked(h.Facts):
			found = append(found, Conflict{
				h.Name, "its API server uses external etcd, and the inventory has none" + cannot,
				"set the hosts with the role etcd, or etcd.external, back, or reinstall the cluster: slipway reset --yes, then slipway apply",
			})
		}
	}
	return found
}

// stacked reports whether a control plane has a member of etcd of its own, or is to run it.
func stacked(f *facts.Facts) bool {
	return f.Exists(facts.EtcdMember) || f.Kubernetes.StaticPods["etcd"] != "" || has(f, "/etc/kubernetes/manifests/etcd.yaml")
}

// connected reports whether the API server of a control plane has what it needs to connect
// to external etcd. With a member of its own, kubeadm has the key of the CA of etcd too.
func connected(f *facts.Facts) bool {
	return f.Exists(facts.CAKey) && f.Exists(facts.APIServerManifest) &&
		has(f, "/etc/kubernetes/pki/etcd/ca.crt") && has(f, "/etc/kubernetes/pki/apiserver-etcd-client.crt") && !has(f, "/etc/kubernetes/pki/etcd/ca.key")
}

func has(f *facts.Facts, path string) bool {
	return slices.ContainsFunc(f.Kubernetes.Files, func(file facts.KubeFile) bool { return file.Path == path })
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

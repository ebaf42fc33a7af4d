package preflight

import (
	"fmt"
	"slices"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// etcdChecks are about the etcd of an existing cluster.
func etcdChecks() []Check {
	return []Check{{
		Description: check.Description{
			Name: "etcd-data", Title: "each control plane has its etcd member and its data", Kind: check.AllHosts, Severity: check.Error,
			Examines: "The data of etcd on each host that has joined as a control plane, the member list, and whether its etcd answers.",
			Why:      "The API server of a control plane without its member works through no etcd, or not at all, and the next failure stops the cluster. A member never starts again without its data: it has to join as a new one.",
			Manual: []string{
				"ls /var/lib/etcd/member; findmnt /var/lib/etcd    # on the control plane",
				"tail /var/log/pods/kube-system_etcd-*/etcd/*.log",
			},
		},
		run: etcdData,
	}, {
		Description: check.Description{
			Name: "ghost-member", Title: "every etcd member is a control plane of the inventory", Kind: check.AllHosts, Severity: check.Error,
			Examines: "The member list of a running etcd, and the control planes of the inventory.",
			Why:      "A member that never started, or whose host is gone, counts for the majority: the next failure stops the cluster.",
			Manual: []string{
				"kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt --key /etc/kubernetes/pki/etcd/peer.key member list",
				"kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt --key /etc/kubernetes/pki/etcd/peer.key member remove ID",
			},
		},
		run: ghostMember,
	}, externalEtcdCheck()}
}

// etcdData finds control planes that have joined, and whose etcd does not belong to the
// cluster any more.
func etcdData(cc *checkContext) []check.Finding {
	state := cc.state
	if state == nil || state.MembersErr != nil {
		return nil // ghost-member reports it
	}
	if len(state.Members) == 0 {
		return cc.dataGone()
	}
	var found []check.Finding
	for _, h := range cc.reachable() {
		f, name := h.Facts(), h.Config.Name
		if !joinedPlane(h) {
			continue
		}
		rejoin := fmt.Sprintf("let the host join again: slipway reset --yes --hosts %s, then slipway apply", name)
		switch member := h.HasMemberIn(state); {
		case !kubeadm.HasData(cc.cluster, f):
			found = append(found, check.Finding{
				Host: name, Evidence: fmt.Sprintf("the host is a control plane of the cluster, and its etcd has lost its data: %s does not exist", facts.EtcdMember),
				Fix: "mount /var/lib/etcd if it is a disk of its own; otherwise " + rejoin,
			})
		case !member:
			found = append(found, check.Finding{
				Host: name, Evidence: "the host has data of etcd, but is no member of it: it was removed from the cluster",
				Fix: rejoin + "; or remove it: slipway node remove " + name,
			})
		case !slices.Contains(state.Answering, name):
			found = append(found, check.Finding{
				Host: name, Severity: check.Warning, Evidence: "its etcd does not answer, or is cut off from the others",
				Fix: fmt.Sprintf("see `journalctl -u kubelet` and /var/log/pods/kube-system_etcd-%s_* on the host; if etcd has lost its data (\"has already been bootstrapped\"), %s", name, rejoin),
			})
		}
	}
	return found
}

// joinedPlane reports whether the host is a control plane that has joined completely. The
// check cluster-identity reports one whose reset was interrupted.
func joinedPlane(h *workflow.Host) bool {
	f := h.Facts()
	return h.Config.Has(config.RoleControlPlane) && f.Exists(facts.APIServerManifest) && f.Kubernetes.Finalized && !f.Joining() && !f.Exists(facts.ResetMark)
}

// dataGone finds a cluster without data: no host has any, and others than the control
// plane on which init would start have joined.
func (cc *checkContext) dataGone() []check.Finding {
	seed := cc.hosts.Seed()
	if seed == nil || seed.Facts() == nil || !joinedPlane(seed) || kubeadm.HasData(cc.cluster, seed.Facts()) {
		return nil
	}
	if !slices.ContainsFunc(cc.hosts.WithLeaving().All, func(h *workflow.Host) bool {
		return h.Config.Name != seed.Config.Name && h.Facts() != nil && h.Facts().Joined()
	}) {
		return nil // init may have been interrupted
	}
	return []check.Finding{{
		Host: seed.Config.Name, Evidence: "the hosts belong to a cluster, and no control plane has the data of its etcd: /var/lib/etcd/member does not exist",
		Fix: "mount /var/lib/etcd if it is a disk of its own, or restore etcd from a snapshot; otherwise remove what is left of the cluster: slipway reset --yes",
	}}
}

func ghostMember(cc *checkContext) []check.Finding {
	state := cc.state
	if state == nil {
		return nil
	}
	if state.MembersErr != nil {
		return []check.Finding{{
			Host: state.MembersOf, Severity: check.Unknown,
			Evidence: state.MembersErr.Error(), Fix: "check that etcd runs: ctr -n k8s.io containers list | grep etcd",
		}}
	}
	// A member of a host that leaves is expected until apply removes it.
	planes := cc.cluster.ControlPlanes()
	var found []check.Finding
	for _, m := range state.Members {
		if memberOf(m, cc.cluster.Leaving) {
			continue
		}
		f := check.Finding{
			Host: state.MembersOf,
			Fix:  fmt.Sprintf("if its host does not exist any more, add it to the inventory with state: lost, or: etcdctl member remove %x", m.ID),
		}
		switch {
		case (!m.Started() || m.Learner) && cc.startsOver(m):
			continue
		case !m.Started():
			f.Evidence = fmt.Sprintf("member %x (%s) never started", m.ID, names(m.PeerURLs))
		case m.Learner:
			f.Evidence = fmt.Sprintf("member %s (%x, %s) is a learner, which does not vote", m.Name, m.ID, names(m.PeerURLs))
		case !memberOf(m, planes):
			f.Severity = check.Warning
			f.Evidence = fmt.Sprintf("member %s (%x, %s) is not a control plane of the inventory", m.Name, m.ID, names(m.PeerURLs))
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}

// startsOver reports whether a member that has not joined completely is that of a control
// plane whose join apply starts over: it was interrupted, or has left nothing.
func (cc *checkContext) startsOver(m kube.EtcdMember) bool {
	return slices.ContainsFunc(cc.reachable(), func(h *workflow.Host) bool {
		ip, err := h.NodeIP()
		if !h.Config.Has(config.RoleControlPlane) || err != nil || !slices.Contains(m.PeerURLs, kube.Peer(ip)) {
			return false
		}
		return !h.Facts().Exists(facts.EtcdMember) || h.Facts().Joining() && m.Learner
	})
}

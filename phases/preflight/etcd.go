package preflight

import (
	"fmt"
	"slices"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// etcdChecks are about the etcd of an existing cluster.
func etcdChecks() []Check {
	return []Check{{
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

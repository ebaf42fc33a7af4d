package preflight

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// leavingChecks are about hosts that leave the cluster: their state in the inventory is
// absent or lost.
func leavingChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: config.CheckLostHost, Title: "lost hosts do not exist any more", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The Nodes of hosts with state: lost, and whether SSH, kubelet, etcd or the API server accepts connections at their addresses, from localhost and from the control planes. slipway does not log in.",
				Why:      "A machine that lives, but is slow or cut off, keeps its credentials and runs its pods on, unknown to the cluster, which starts them a second time elsewhere.",
				Manual: []string{
					"kubectl get node NODE    # NotReady, or not found",
					"nc -vz -w 3 ADDRESS 22; nc -vz -w 3 ADDRESS 10250    # on each control plane: no answer",
				},
			},
			run: lostHost,
		},
		{
			Description: check.Description{
				Name: "absent-host", Title: "hosts that are to be removed can be reached", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The connection to each host with state: absent.",
				Why: "Apply resets these hosts. If nobody knows whether an unreachable control plane has the cluster, a new one would " +
					"be created.",
				Manual: []string{"ssh HOST true"},
			},
			run: absentHost,
		},
		{
			Description: check.Description{
				Name: "etcd-quorum", Title: "etcd keeps its quorum when hosts leave", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The members of etcd, which of them answer, and the hosts with state: lost or absent.",
				Why:      "etcd needs a majority of its members, also to remove one. Without it, the cluster stops, and only a snapshot helps.",
				Manual: []string{
					"kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt --key /etc/kubernetes/pki/etcd/peer.key endpoint health --cluster",
				},
			},
			run: etcdQuorum,
		},
	}
}

func lostHost(cc *checkContext) []check.Finding {
	var found []check.Finding
	unread := slices.ContainsFunc(cc.hosts.Observed(), func(h cluster.Host) bool { return h.Facts == nil })
	exists := unread || cc.state != nil && cc.state.Exists
	for _, h := range cc.cluster.Lost() {
		if h.Has(config.RoleControlPlane) && !exists {
			found = append(found, check.Finding{
				Host:     h.Name,
				Evidence: "the host is lost in the inventory, and no other host has the data of its cluster",
				Fix:      "restore a control plane of the cluster; for a new cluster, delete the lost hosts from the inventory",
			})
		}
		alive := workflow.AliveError{Host: h.Name, Signs: cc.alive[h.Name]}
		if node := cc.state.Node(h.Name); node != nil && node.Ready {
			alive.Signs = append([]string{"its node is ready"}, alive.Signs...)
		}
		if len(alive.Signs) > 0 {
			found = append(found, check.Finding{Host: h.Name, Evidence: alive.Error(), Fix: alive.Remedy()})
		}
	}
	return found
}

func absentHost(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.hosts.Leaving {
		name := h.Config.Name
		if h.Facts() != nil {
			continue
		}
		f := check.Finding{
			Host:     name,
			Evidence: fmt.Sprintf("the host is absent in the inventory, and cannot be reached: %v", h.Unreachable()),
			Fix:      "make the host reachable, or set state: lost if it does not exist any more",
		}
		switch {
		case cc.state.Answers() && cc.state.Node(name) == nil && !h.HasMemberIn(cc.state):
			continue // it has left already
		case cc.state.Answers() || !h.Config.Has(config.RoleControlPlane):
			f.Severity = check.Warning
		}
		found = append(found, f)
	}
	return found
}

func etcdQuorum(cc *checkContext) []check.Finding {
	state := cc.state
	if state == nil || !state.Exists || len(state.Members) == 0 {
		return nil // ghost-member reports an etcd that does not answer
	}
	now := kube.Quorum{Members: kube.Voters(state.Members), Healthy: len(state.Answering)}
	var lost, absent []string
	removable := cc.removable()
	after := now
	for _, m := range state.Members {
		if m.Learner {
			continue // nothing depends on it
		}
		if memberOf(m, cc.cluster.Lost()) {
			lost = append(lost, m.Name)
			after.Members--
		}
		if memberOf(m, removable) {
			absent = append(absent, m.Name)
			after.Members--
			if slices.Contains(state.Answering, m.Name) {
				after.Healthy--
			}
		}
	}
	// New control planes join before absent ones leave.
	for _, h := range cc.cluster.ControlPlanes() {
		if !votes(state, h) {
			after.Members++
			after.Healthy++
		}
	}
	leaving := slices.Concat(lost, absent)
	if len(leaving) == 0 || now.Holds() && after.Holds() {
		return nil
	}
	return []check.Finding{{
		Evidence: (&kube.QuorumError{Removing: strings.Join(leaving, ", "), Now: now, After: after}).Error(),
		Fix:      "start the other control planes: a majority of the members must answer",
	}}
}

// votes reports whether the member of a host votes.
func votes(state *cluster.State, h config.Host) bool {
	return slices.ContainsFunc(state.Members, func(m kube.EtcdMember) bool {
		return !m.Learner && memberOf(m, []config.Host{h})
	})
}

// removable are the absent hosts that apply can remove: without facts, a host cannot be
// reached, and its member stays.
func (cc *checkContext) removable() []config.Host {
	var found []config.Host
	for _, h := range cc.hosts.Leaving {
		if h.Facts() != nil {
			found = append(found, h.Config)
		}
	}
	return found
}

// memberOf reports whether a member is that of one of the hosts.
func memberOf(m kube.EtcdMember, hosts []config.Host) bool {
	return slices.ContainsFunc(hosts, func(h config.Host) bool { return kube.IsMemberOf(m, h.Name, h.NodeIP, h.Address) })
}

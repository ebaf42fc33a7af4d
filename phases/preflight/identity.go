package preflight

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// identityChecks keep apply from creating a second cluster, and from changing
// another one.
func identityChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "cluster-identity", Title: "all hosts belong to the cluster of the inventory", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The CA of the cluster, the data of etcd and the identity of kubelet on each host, and the names and roles in the inventory.",
				Why:      "A second kubeadm init, or a join with the identity of another node, damages a running cluster.",
				Manual: []string{
					"openssl x509 -in /etc/kubernetes/pki/ca.crt -noout -fingerprint    # equal on all hosts",
					"openssl x509 -in /var/lib/kubelet/pki/kubelet-client-current.pem -noout -subject    # system:node:NAME",
				},
			},
			run: clusterIdentity,
		},
		{
			Description: check.Description{
				Name: "node-identity", Title: "the name of a new host, or of one that leaves, is not that of another machine", Kind: check.Host, Severity: check.Error,
				Examines: "The machine ID of each Node, and of the host with its name that has not joined, or has state: absent.",
				Why: "A host that joins with the name of a Node takes over its identity: the pods and volumes of two machines get mixed up. " +
					"A host that leaves is drained and removed from etcd by its name: that would be another machine.",
				Manual: []string{
					"kubectl get node NODE -o jsonpath='{.status.nodeInfo.machineID}'; cat /etc/machine-id    # on the host",
					"kubectl delete node NODE    # if its machine does not exist any more",
				},
			},
			run: nodeIdentity,
		},
		{
			Description: check.Description{
				Name: "interrupted-restore", Title: "no restore of the host was interrupted", Kind: check.Host, Severity: check.Error,
				Examines: "The mark that a restore keeps on the first control plane until the cluster is complete.",
				Why:      "The host may have the keys of a cluster without its data: kubeadm init would create an empty cluster.",
				Manual:   []string{"ls " + string(facts.RestoreMark)},
			},
			run: interruptedRestore,
		},
		{
			Description: check.Description{
				Name: "fixed-fields", Title: "the inventory does not change what cannot change", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The name, the address ranges, the DNS domain, the pod network, the endpoint with its load balancer and port of the API servers, and the cgroup driver of the running cluster, and those of the inventory.",
				Why:      "Pods, Services and certificates contain them. A change of one of them would break the cluster halfway. Another name may also be an inventory that has the wrong hosts.",
				Manual:   []string{"kubectl -n kube-system get configmap kubeadm-config -o yaml"},
			},
			run: fixedFields,
		},
		{
			Description: check.Description{
				Name: "node-address-change", Title: "the inventory does not change the address of a node", Kind: check.Host, Severity: check.Error,
				Examines: "The internal address of each Node, and the address that the inventory gives its host.",
				Why:      "Certificates, etcd and the pod network contain the address. Other hosts would use one that the node does not have.",
				Manual:   []string{"kubectl get nodes -o wide"},
			},
			run: changedAddress,
		},
		{
			Description: check.Description{
				Name: "settings-change", Title: "the settings of the components can be applied", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The files of controlPlane.apiServer; kubernetes.initConfiguration, and the fields of kubernetes.clusterConfiguration that `kubeadm init` alone reads, in the inventory and in the cluster.",
				Why:      "`kubeadm init` has read them: a change has no effect on a cluster that exists, or would move its data.",
				Manual:   []string{"kubectl -n kube-system get configmap kubeadm-config slipway -o yaml"},
			},
			run: settingsChange,
		},
	}
}

func clusterIdentity(cc *checkContext) []check.Finding {
	if cc.restoring {
		return nil // the phase restore-check compares the hosts with the backup
	}
	var found []check.Finding
	observed := cc.hosts.Observed()
	for _, c := range slices.Concat(cluster.Conflicts(observed), cluster.EtcdKindConflicts(cc.cluster.ExternalEtcd(), observed)) {
		// The check leftovers reports other installations.
		h := cc.observed(c.Host)
		if h == nil || !hasJournal(h.Facts()) && (h.Facts().Joined() || h.Facts().Exists(facts.EtcdService)) {
			continue
		}
		found = append(found, check.Finding{Host: c.Host, Evidence: c.Problem, Fix: c.Remedy})
	}
	for _, h := range cc.reachable() {
		f := h.Facts()
		if f.Exists(facts.ResetMark) && f.Joined() && h.Config.Has(config.RoleControlPlane) && !kubeadm.HasData(cc.cluster, f) {
			found = append(found, check.Finding{
				Host: h.Config.Name, Evidence: "a reset of this host was interrupted, after it had deleted the data of etcd",
				Fix: "finish it: slipway reset --yes --hosts " + h.Config.Name,
			})
		}
	}
	return found
}

// interruptedRestore finds hosts on which only a restore may continue.
func interruptedRestore(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		if h.Facts().Exists(facts.RestoreMark) && !cc.restoring {
			found = append(found, check.Finding{
				Host: h.Config.Name, Evidence: "a restore of the cluster was interrupted",
				Fix: "resume it: slipway restore BACKUP --yes, with the same backup; or discard it: slipway reset --yes --hosts " + h.Config.Name,
			})
		}
	}
	return found
}

// nodeIdentity finds hosts that would join with the identity of another machine.
func nodeIdentity(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		f, node := h.Facts(), cc.state.Node(h.Config.Name)
		if node == nil || f.Joined() || node.MachineID == "" || f.MachineID == "" || node.MachineID == f.MachineID {
			continue
		}
		state := "is not ready"
		if node.Ready {
			state = "is ready"
		}
		found = append(found, check.Finding{
			Host: h.Config.Name,
			Evidence: fmt.Sprintf("the cluster has a node %s, which %s, on another machine: its machine ID is %.8s…, that of this host %.8s…",
				node.Name, state, node.MachineID, f.MachineID),
			Fix: fmt.Sprintf("give the host a name of its own; if the other machine does not exist any more, kubectl delete node %s", node.Name),
		})
	}
	return append(found, leavingIdentity(cc)...)
}

// leavingIdentity finds absent hosts whose Node is that of another machine: apply would
// drain that one. Unlike a host that stays, it must have the machine ID of its Node also
// if it has joined, since its Node is not deleted otherwise.
func leavingIdentity(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.hosts.Leaving {
		f, node := h.Facts(), cc.state.Node(h.Config.Name)
		if f == nil || node == nil || node.MachineID == "" || f.MachineID == "" || node.MachineID == f.MachineID {
			continue
		}
		fix := "correct the address of the host, or set state: lost if the machine of the node does not exist any more"
		if f.Joined() {
			fix += "; if the machine ID of the host has changed, restart its kubelet"
		}
		found = append(found, check.Finding{
			Host: h.Config.Name,
			Evidence: fmt.Sprintf("the host is absent in the inventory, and node %s is another machine: its machine ID is %.8s…, that of this host %.8s…",
				node.Name, node.MachineID, f.MachineID),
			Fix: fix,
		})
	}
	return found
}

// configured reports whether the configuration of the running cluster is known.
func (cc *checkContext) configured() bool { return cc.state != nil && cc.state.Version != "" }

// ofEndpoint reports whether a difference is one of how the API servers are reached: the
// load balancer and the pod network would change on some hosts, and the API servers would
// not.
func ofEndpoint(d cluster.Difference) bool {
	return d.Field == "controlPlane.bindPort" || d.Field == "controlPlane.loadBalancer.type"
}

func fixedFields(cc *checkContext) []check.Finding {
	if !cc.configured() {
		return nil
	}
	var found []check.Finding
	differences := cc.state.Fixed.Differences(cluster.FixedOf(cc.cluster))
	if drift, err := cc.state.Drift(cc.cluster); err == nil {
		differences = append(differences, slices.DeleteFunc(drift, func(d cluster.Difference) bool { return !ofEndpoint(d) })...)
	}
	for _, d := range differences {
		fix := fmt.Sprintf("set %s back to %s", d.Field, d.Have)
		finding := check.Finding{
			Evidence: d.String() + ": it cannot change",
			Fix:      fix + ", or reinstall the cluster: slipway reset --yes, then slipway apply",
		}
		if d.Field == "controlPlane.endpoint" && d.Have == "" {
			finding = cc.withoutEndpoint(d)
		}
		found = append(found, finding)
	}
	return found
}

// withoutEndpoint is the finding of an endpoint that was added to the inventory: without
// one, certificates and kubeconfigs name the only control plane, and kubeadm refuses
// others. The way out is the address that they name (docs/nodes.md).
func (cc *checkContext) withoutEndpoint(d cluster.Difference) check.Finding {
	own := "the address of its control plane"
	if address, ok := cc.soleAddress(); ok {
		own = address
	}
	return check.Finding{
		Evidence: fmt.Sprintf("the cluster was created without controlPlane.endpoint, and the inventory has %s: the certificates and kubeconfigs of all nodes name %s, "+
			"and slipway cannot change that, so the cluster cannot have another endpoint", d.Want, own),
		Fix: fmt.Sprintf("remove controlPlane.endpoint and the other control planes to keep the cluster as it is; to have several control planes, back up the workloads, and reinstall it "+
			"with the endpoint: slipway reset --yes, then slipway apply; or make %s its endpoint, which is not highly available: see docs/nodes.md#a-cluster-without-an-endpoint", own),
	}
}

// soleAddress returns the host:port of the API server of a cluster that has one control
// plane.
func (cc *checkContext) soleAddress() (string, bool) {
	seed := cc.hosts.Seed()
	if seed == nil {
		return "", false
	}
	ip, err := seed.NodeIP()
	return net.JoinHostPort(ip.String(), strconv.Itoa(cc.cluster.ControlPlane.BindPort)), err == nil
}

// changedAddress compares the address that the inventory gives a host with the one
// that its Node has.
func changedAddress(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		node := cc.state.Node(h.Config.Name)
		want, err := h.NodeIP()
		if h.Config.Has(config.RoleEtcd) {
			found = append(found, cc.changedEtcdAddress(h)...)
			continue
		}
		if err != nil || node == nil || len(node.Addresses) == 0 || slices.Contains(node.Addresses, want.String()) {
			continue
		}
		found = append(found, check.Finding{
			Host:     h.Config.Name,
			Evidence: fmt.Sprintf("the node has the address %s, and would get %s", strings.Join(node.Addresses, ", "), want),
			Fix: fmt.Sprintf("set nodeIP: %s; or remove the node, and let its host join again with the new address: slipway node remove %s, then state: present and slipway apply",
				node.Addresses[0], h.Config.Name),
		})
	}
	return found
}

func settingsChange(cc *checkContext) []check.Finding {
	if _, err := kubeadm.APIServerFiles(cc.cluster); err != nil {
		return []check.Finding{{Evidence: err.Error(), Fix: "correct the path or the file"}}
	}
	if !cc.configured() {
		return nil
	}
	refused, err := cc.state.Refused(cc.cluster)
	if err != nil {
		return []check.Finding{{Severity: check.Unknown, Evidence: err.Error(), Fix: "correct the section kubernetes of the inventory"}}
	}
	var found []check.Finding
	for _, d := range refused {
		if ofEndpoint(d) {
			continue // the check fixed-fields refuses it
		}
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("%s: it cannot change, since %s", d, d.Unchangeable()),
			Fix:      "set it back, or reinstall the cluster: slipway reset --yes, then slipway apply",
		})
	}
	return found
}

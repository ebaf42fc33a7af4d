package preflight

import (
	"fmt"

	"slipway.io/slipway/provision/cluster"
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
				Name: "fixed-fields", Title: "the inventory does not change what cannot change", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The address ranges, the DNS domain, the pod network and the endpoint of the running cluster, and those of the inventory.",
				Why:      "Pods, Services and certificates contain them. A change of one of them would break the cluster halfway.",
				Manual:   []string{"kubectl -n kube-system get configmap kubeadm-config -o yaml"},
			},
			run: fixedFields,
		},
		{
			Description: check.Description{
				Name: "version-change", Title: "the Kubernetes version of the cluster does not change", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The version of the running control plane, and kubernetes.version.",
				Why:      "An upgrade drains and restarts the nodes in order, which slipway does not do yet. New programs alone would leave a mixed cluster.",
				Manual:   []string{"kubectl version"},
			},
			run: versionChange,
		},
	}
}

func clusterIdentity(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, c := range cluster.Conflicts(cc.hosts.Observed()) {
		if h := cc.host(c.Host); h == nil || !hasJournal(h.Facts()) {
			continue // the check leftovers reports other installations
		}
		found = append(found, check.Finding{Host: c.Host, Evidence: c.Problem, Fix: c.Remedy})
	}
	return found
}

// configured reports whether the configuration of the running cluster is known.
func (cc *checkContext) configured() bool { return cc.state != nil && cc.state.Version != "" }

func fixedFields(cc *checkContext) []check.Finding {
	if !cc.configured() {
		return nil
	}
	var found []check.Finding
	for _, d := range cc.state.Fixed.Differences(cluster.FixedOf(cc.cluster)) {
		have, fix := d.Have, fmt.Sprintf("set %s back to %s", d.Field, d.Have)
		if have == "" {
			have, fix = "none", "remove "+d.Field
		}
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("%s is %s in the cluster, and cannot change to %q", d.Field, have, d.Want),
			Fix:      fix + ", or reinstall the cluster: slipway reset, then slipway apply",
		})
	}
	return found
}

func versionChange(cc *checkContext) []check.Finding {
	if !cc.configured() || cc.state.Version == cc.cluster.Kubernetes.Version {
		return nil
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("the cluster runs %s, and the inventory sets %s", cc.state.Version, cc.cluster.Kubernetes.Version),
		Fix:      "set kubernetes.version: " + cc.state.Version + "; slipway does not upgrade clusters yet",
	}}
}

package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// fileChecks are about the files of an existing cluster.
func fileChecks() []Check {
	return []Check{{
		Description: check.Description{
			Name: "cluster-files", Title: "the files of the cluster can be read", Kind: check.AllHosts, Severity: check.Error,
			Examines: "The certificates, keys and kubeconfigs of control planes.",
			Why: "kubeadm and kubelet do not sync what they write: after a power loss, files may be empty or truncated. slipway creates " +
				"them again after an interrupted init or join and on workers, but never replaces a CA that may have signed something.",
			Manual: []string{
				"find /etc/kubernetes /var/lib/kubelet/pki -empty",
				"kubeadm init phase certs all --config " + kubeadm.Dir + "/init.yaml    # creates the certificates that were deleted",
				"kubeadm init phase kubeconfig all --config " + kubeadm.Dir + "/init.yaml",
			},
		},
		run: clusterFiles,
	}}
}

func clusterFiles(cc *checkContext) []check.Finding {
	if kubeadm.Skips(cc.cluster, "certs/ca") {
		return nil // the CAs come from elsewhere
	}
	var found []check.Finding
	for _, h := range cc.reachable() {
		f := h.Facts()
		if !h.Config.Has(config.RoleControlPlane) || !hasJournal(f) || !f.Joined() || f.Joining() {
			continue
		}
		data := kubeadm.HasData(cc.cluster, f)
		_, err := kubeadm.Recreate(cc.cluster, f.Kubernetes, false, data)
		var authority *kubeadm.AuthorityError
		if errors.As(err, &authority) && !(settled(cc, h) && offline(f, authority)) {
			found = append(found, check.Finding{
				Host: h.Config.Name, Evidence: err.Error(),
				Fix: "restore /etc/kubernetes/pki from a backup, or remove the cluster with its data: " + kubeadm.StartOver(cc.cluster, h.Config.Name),
			})
			continue
		}
		if data && settled(cc, h) {
			found = append(found, damagedFiles(cc, h)...)
		}
	}
	return found
}

// offline reports whether only the key of the CA is missing: an administrator may keep
// the key of a complete cluster elsewhere.
func offline(f *facts.Facts, e *kubeadm.AuthorityError) bool {
	return !e.Damaged && f.Kubernetes.Intact("/etc/kubernetes/pki/ca.crt")
}

// settled reports whether the init of the cluster is complete: nothing is deleted and
// created again without being asked for.
func settled(cc *checkContext, h *workflow.Host) bool {
	if cc.restoring {
		return false // workers of the lost cluster may be left
	}
	return cc.state != nil && cc.state.Record != nil || h.Facts().Kubernetes.Finalized ||
		slices.ContainsFunc(cc.reachable(), func(other *workflow.Host) bool { return other != h && other.Facts().Joined() })
}

func damagedFiles(cc *checkContext, h *workflow.Host) []check.Finding {
	var found []check.Finding
	for _, path := range kubeadm.Damaged(cc.cluster, h.Facts().Kubernetes) {
		fix := repair(path)
		if h != cc.hosts.Seed() { // it has no configuration of init
			fix = fmt.Sprintf("let the control plane join again: slipway reset --yes --hosts %s, then slipway apply", h.Config.Name)
		}
		found = append(found, check.Finding{Host: h.Config.Name, Evidence: path + " is empty, truncated, or names a missing file", Fix: fix})
	}
	return found
}

// repair returns how to create a file of a complete cluster again.
func repair(path string) string {
	create := func(files, phase string) string {
		return fmt.Sprintf("rm -f %s; kubeadm init phase %s --config %s/init.yaml; systemctl restart kubelet", files, phase, kubeadm.Dir)
	}
	base, isPKI := strings.CutPrefix(path, "/etc/kubernetes/pki/")
	name := strings.TrimSuffix(strings.TrimSuffix(base, ".crt"), ".key")
	switch {
	case isPKI && slices.Contains([]string{"etcd/ca", "front-proxy-ca", "sa", "sa.pub"}, name):
		return "restore it from a backup: everything that it signed depends on it"
	case isPKI:
		return create("/etc/kubernetes/pki/"+name+".crt /etc/kubernetes/pki/"+name+".key", "certs all")
	case path == string(facts.KubeletConf) || strings.HasPrefix(path, "/var/lib/kubelet/pki/kubelet-client"):
		return create(string(facts.KubeletConf)+" /var/lib/kubelet/pki/kubelet-client*", "kubeconfig kubelet")
	case strings.HasPrefix(path, "/var/lib/kubelet/pki/"):
		return "rm -f " + path + "; systemctl restart kubelet    # kubelet creates it"
	}
	return create(path, "kubeconfig all")
}

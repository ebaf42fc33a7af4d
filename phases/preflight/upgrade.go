package preflight

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// upgradeAPIs is the name of the check of removed APIs.
const upgradeAPIs = "upgrade-apis"

// upgradeChecks are about another Kubernetes version of a cluster that exists. They do not
// run if the version stays.
func upgradeChecks() []Check {
	checks := []Check{
		{
			Description: check.Description{
				Name: "upgrade-skew", Title: "the new version is one that the cluster can get", Kind: check.AllHosts, Severity: check.Error,
				Examines: "kubernetes.version, and the versions of the control plane, of each API server and of the kubelet of each node.",
				Why:      "Kubernetes supports upgrades by one minor version at a time, and no downgrades: the new version may not read what the old one stored. Kubelets may be three minor versions older than the API servers, and not newer (Kubernetes' version skew policy).",
				Manual:   []string{"kubectl version; kubectl get nodes", "slipway upgrade plan    # the versions that are available"},
			},
			run: upgradeSkew,
		},
		{
			Description: check.Description{
				Name: "upgrade-budgets", Title: "PodDisruptionBudgets let the nodes be drained", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The PodDisruptionBudgets that select pods of the nodes that get the new version. One that never allows an eviction is an error, and one that does not allow it now, because pods are not ready, is a warning: slipway waits for it.",
				Why:      "Each node is drained before its kubelet changes. A budget that never allows an eviction stops the upgrade halfway.",
				Manual: []string{
					"kubectl get poddisruptionbudgets -A    # ALLOWED DISRUPTIONS is 0",
					"kubectl -n NAMESPACE patch poddisruptionbudget NAME --type merge -p '{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":1}}'",
				},
			},
			run: upgradeBudgets,
		},
		{
			Description: check.Description{
				Name: upgradeAPIs, Title: "no client uses an API that the new version removes", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The metric apiserver_requested_deprecated_apis of each API server, which has what clients have requested since it started, and the kinds in the manifests of custom addons. An API that the next minor version removes is a warning. Charts are not examined.",
				Why:      "The requests of these clients fail as soon as the first API server has the new version.",
				Manual: []string{
					"kubectl get --raw /metrics | grep apiserver_requested_deprecated_apis",
					"# the audit log names the clients: select(.annotations[\"k8s.io/removed-release\"]) | .userAgent",
				},
			},
			run: removedAPIs,
		},
		{
			Description: check.Description{
				Name: "upgrade-etcd", Title: "all members of etcd are healthy", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The members of etcd, whether each of them votes and answers, and the alarms.",
				Why:      "Each control plane restarts its member. If another one is down at that time, etcd may lose its majority, and the cluster stops.",
				Manual: []string{
					"kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt --key /etc/kubernetes/pki/etcd/peer.key endpoint health --cluster",
				},
			},
			run: upgradeEtcd,
		},
		{
			Description: check.Description{
				Name: "upgrade-disk", Title: "the disks have space for the new version", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The free space for the binaries and images of the new version, beside those of the old one, and for a snapshot of etcd.",
				Why:      "The old version stays on the disk until the node runs the new one. kubelet removes images and evicts pods on a full disk.",
				Manual:   []string{"df -h /usr/local/bin /var/lib/containerd /var/lib/etcd"},
			},
			run: upgradeDisk,
		},
		{
			Description: check.Description{
				Name: "upgrade-hosts", Title: "all nodes can get the new version", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The connection to each host, whether its node is ready, and nodes without a host in the inventory. A control plane that cannot be reached is an error, and everything else a warning.",
				Why:      "A control plane that is left out keeps an old API server beside the new ones. Another node keeps its version until the next apply, and falls behind.",
				Manual:   []string{"kubectl get nodes; slipway status"},
			},
			run: upgradeHosts,
		},
	}
	for i := range checks {
		checks[i].upgrade = true
	}
	return checks
}

func upgradeSkew(cc *checkContext) []check.Finding {
	target, err := goversion.NewVersion(cc.target)
	now, errNow := goversion.NewVersion(cc.state.Version)
	if err := errors.Join(err, errNow); err != nil {
		return []check.Finding{{Severity: check.Unknown, Evidence: err.Error(), Fix: "correct kubernetes.version"}}
	}
	var found []check.Finding
	behind := minorsBehind(now, target)
	switch {
	case target.LessThan(now):
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("the cluster has %s, and the inventory %s: Kubernetes supports no downgrade", cc.state.Version, cc.target),
			Fix:      "set kubernetes.version: " + cc.state.Version,
		})
	case behind > 1:
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("%s is %d minor versions ahead of %s of the cluster: Kubernetes supports one at a time", cc.target, behind, cc.state.Version),
			Fix:      fmt.Sprintf("upgrade to v1.%d first: `slipway upgrade plan` lists the releases", now.Segments()[1]+1),
		})
	}
	for _, h := range cc.reachable() {
		have, err := goversion.NewVersion(apiServerVersion(h.Facts()))
		if err != nil {
			continue // it has no API server
		}
		if behind := minorsBehind(have, target); behind > 1 && minorsBehind(now, target) <= 1 {
			found = append(found, check.Finding{
				Host: h.Config.Name, Evidence: fmt.Sprintf("its API server has v%s, %d minor versions behind %s", have, behind, cc.target),
				Fix: "finish the upgrade of the control planes first: set kubernetes.version: " + cc.state.Version + ", then slipway apply",
			})
		}
	}
	return append(found, cc.kubeletSkew(target)...)
}

// kubeletSkew finds nodes whose kubelet is too old or too new for the new API servers.
func (cc *checkContext) kubeletSkew(target *goversion.Version) []check.Finding {
	var found []check.Finding
	for _, node := range cc.state.Nodes {
		have, err := goversion.NewVersion(node.Version)
		if err != nil {
			continue
		}
		behind := minorsBehind(have, target)
		f := check.Finding{Host: node.Name}
		switch {
		case behind < 0:
			f.Evidence = fmt.Sprintf("its kubelet has %s, which is newer than %s", node.Version, cc.target)
			f.Fix = fmt.Sprintf("set kubernetes.version to at least v1.%d.0, or remove the node: slipway node remove %s", have.Segments()[1], node.Name)
		case behind > oldestKubelet:
			f.Evidence = fmt.Sprintf("its kubelet has %s, %d minor versions behind %s: the API servers support %d", node.Version, behind, cc.target, oldestKubelet)
			f.Fix = fmt.Sprintf("upgrade the node to %s first: set kubernetes.version: %s, then slipway apply", cc.state.Version, cc.state.Version)
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}

// minorsBehind is how many minor versions a version is older than another one.
func minorsBehind(have, target *goversion.Version) int {
	return target.Segments()[1] - have.Segments()[1]
}

// apiServerVersion is that of the image of the API server; empty if the host runs none.
func apiServerVersion(f *facts.Facts) string { return tag(f.Kubernetes.StaticPods["kube-apiserver"]) }

// tag is that of an image; empty without one.
func tag(image string) string {
	_, last, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return last
}

// changing reports whether a node is going to get the new version.
func (cc *checkContext) changing(name string) bool {
	node := cc.state.Node(name)
	return node != nil && node.Version != cc.target && slices.ContainsFunc(cc.cluster.Nodes(), func(h config.Host) bool { return h.Name == name })
}

func upgradeBudgets(cc *checkContext) []check.Finding {
	u := cc.state.Upgrade
	if u == nil {
		return nil
	}
	if u.Err != nil {
		return []check.Finding{{Severity: check.Unknown, Evidence: "PodDisruptionBudgets cannot be read: " + u.Err.Error(), Fix: "check that the API server answers: slipway status"}}
	}
	var found []check.Finding
	for _, b := range u.Blocking {
		if !cc.changing(b.Node) {
			continue
		}
		f := check.Finding{Host: b.Node, Evidence: b.String(), Fix: budgetFix(b)}
		if !b.Never {
			f.Severity = check.Warning
		}
		found = append(found, f)
	}
	return found
}

// budgetFix returns the command that lets a pod be evicted.
func budgetFix(b kube.Blocked) string {
	namespace, pod, _ := strings.Cut(b.Pod, "/")
	switch {
	case len(b.Budgets) > 1:
		return fmt.Sprintf("keep one of them: kubectl -n %s delete poddisruptionbudget %s", namespace, strings.Join(b.Budgets[1:], " "))
	case !b.Never:
		return fmt.Sprintf("wait until the other pods are ready: kubectl -n %s get pods", namespace)
	}
	scale := ""
	if kind, name, ok := strings.Cut(b.Workload, " "); ok && (kind == "deployment" || kind == "statefulset" || kind == "replicaset") {
		scale = fmt.Sprintf(", or start more pods than it wants: kubectl -n %s scale %s/%s --replicas=N", namespace, kind, name[strings.Index(name, "/")+1:])
	}
	if b.Workload == "" {
		scale = fmt.Sprintf(", or delete the pod: kubectl -n %s delete pod %s", namespace, pod)
	}
	return fmt.Sprintf(`let it allow an eviction: kubectl -n %s patch poddisruptionbudget %s --type merge -p '{"spec":{"minAvailable":null,"maxUnavailable":1}}'%s`,
		namespace, b.Budgets[0], scale)
}

func removedAPIs(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, m := range cc.manifests {
		switch {
		case m.unread != "":
			found = append(found, check.Finding{Severity: check.Unknown, Evidence: fmt.Sprintf("addon %s: %s", m.addon, m.unread), Fix: "correct the addon in the inventory"})
		default:
			found = cc.removal(found, m.removedIn, check.Finding{
				Evidence: fmt.Sprintf("addon %s has %s (%s), which Kubernetes %s removes", m.addon, m.kind, m.name, m.removedIn),
				Fix:      "change its apiVersion in the manifest of the addon",
			})
		}
	}
	u := cc.state.Upgrade
	if u == nil {
		return found
	}
	for _, name := range slices.Sorted(maps.Keys(u.Unread)) {
		found = append(found, check.Finding{Severity: check.Unknown, Evidence: fmt.Sprintf("the API server of %s does not say which deprecated APIs clients use: %s", name, u.Unread[name]), Fix: "check that it answers: slipway status"})
	}
	for _, api := range u.APIs {
		found = cc.removal(found, api.RemovedIn, check.Finding{
			Evidence: fmt.Sprintf("clients use %s, which Kubernetes %s removes (requested from the API server of %s since it started)", api.DeprecatedAPI, api.RemovedIn, names(api.Servers)),
			Fix:      "update these clients: the audit log names them, by the annotation k8s.io/removed-release. If none of them is left, restart the API server on its host (pkill -TERM -x kube-apiserver), or ignore the check " + upgradeAPIs,
		})
	}
	return found
}

// removal adds a finding about an API that the new version removes, or the one after it.
func (cc *checkContext) removal(found []check.Finding, release string, f check.Finding) []check.Finding {
	removed, ok := kube.Minor(release)
	target, known := kube.Minor(cc.target)
	switch {
	case !ok || !known:
		return found
	case removed == target+1:
		f.Severity = check.Warning
	case removed > target:
		f.Severity = check.Info
	}
	return append(found, f)
}

func upgradeEtcd(cc *checkContext) []check.Finding {
	u := cc.state.Upgrade
	switch {
	case u == nil || u.Err != nil:
		return nil // upgrade-budgets reports that nothing could be read
	case u.EtcdErr != nil:
		return []check.Finding{{Evidence: "etcd does not answer: " + u.EtcdErr.Error(), Fix: "see `slipway status`"}}
	}
	var found []check.Finding
	for _, m := range u.Etcd.Members {
		f := check.Finding{Host: m.Host, Fix: "see `slipway status`; start the member, or remove it if its host does not exist any more: slipway node lost " + m.Name}
		switch {
		case m.NotAsked, memberOf(m.EtcdMember, cc.cluster.Leaving):
			continue // apply removes that of a host that leaves before the upgrade
		case m.Problem != nil:
			f.Host = "" // the cluster needs it, also if its host is unreachable
			f.Evidence = fmt.Sprintf("etcd member %s is not healthy: %v", memberName(m), m.Problem)
			if cc.begun() {
				f.Severity = check.Warning // apply repairs what an interrupted one left
			}
		case !m.Voting:
			f.Evidence, f.Fix = fmt.Sprintf("etcd member %s does not vote yet", memberName(m)), "finish its join first: set kubernetes.version: "+cc.state.Version+", then slipway apply"
		default:
			continue
		}
		found = append(found, f)
	}
	for _, alarm := range u.Etcd.Alarms {
		found = append(found, check.Finding{Evidence: "etcd has the alarm " + alarm, Fix: "see https://etcd.io/docs/latest/op-guide/maintenance/; after the repair: etcdctl alarm disarm"})
	}
	return found
}

// begun reports whether an upgrade to the new version was interrupted.
func (cc *checkContext) begun() bool {
	return cc.state.Version == cc.target || slices.ContainsFunc(cc.reachable(), func(h *workflow.Host) bool {
		return apiServerVersion(h.Facts()) == cc.target
	})
}

// memberName is the name of a member, or its ID if it has never started.
func memberName(m kube.EtcdMemberHealth) string {
	if m.Name == "" {
		return fmt.Sprintf("%x", m.ID)
	}
	return m.Name
}

// upgradeMiB is the free space that another version needs below each path: its binaries are
// 300 MB, and its images unpack to 1 GB on a control plane. A snapshot of etcd is as large
// as its database, 2 GB at most by default, and a few hundred MB in most clusters.
var (
	upgradeMiB      = map[string]int{"/usr/local/bin": 300, "/var/lib/containerd": 500}
	upgradePlaneMiB = map[string]int{"/usr/local/bin": 400, "/var/lib/containerd": 1200, "/var/lib/etcd": 500}
)

func upgradeDisk(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		if !cc.changing(h.Config.Name) {
			continue
		}
		needed := upgradeMiB
		if h.Config.Has(config.RoleControlPlane) {
			needed = upgradePlaneMiB
		}
		for _, f := range full(h.Facts(), needed) {
			f.Host = h.Config.Name
			found = append(found, f)
		}
	}
	return found
}

func upgradeHosts(cc *checkContext) []check.Finding {
	var found []check.Finding
	for i := range cc.state.Nodes {
		node := &cc.state.Nodes[i]
		h := cc.inventoryHost(node.Name)
		switch {
		case h == nil && !slices.Contains(cc.cluster.Names(), node.Name):
			if node.Version != cc.target {
				found = append(found, check.Finding{
					Severity: check.Warning,
					Evidence: fmt.Sprintf("node %s is not in the inventory, and keeps %s", node.Name, node.Version),
					Fix:      "add its host to the inventory, with state: absent or lost to remove it",
				})
			}
		case h == nil: // it leaves the cluster
		case h.Unreachable() != nil:
			found = append(found, unreachableNode(h, node, cc.target)...)
		case !node.Ready && cc.changing(node.Name):
			found = append(found, check.Finding{
				Host: node.Name, Severity: check.Warning,
				Evidence: "its node is " + node.Why, Fix: "see `journalctl -u kubelet` on the host",
			})
		}
	}
	return found
}

// unreachableNode is the finding on a node whose host cannot be reached. That on a control
// plane names no host: it stops the run.
func unreachableNode(h *workflow.Host, node *cluster.Node, target string) []check.Finding {
	if node.Version == target && node.Ready {
		return nil
	}
	f := check.Finding{Fix: fmt.Sprintf("make it reachable; or remove it: slipway node lost %s", node.Name)}
	if h.Config.Has(config.RoleControlPlane) {
		f.Evidence = fmt.Sprintf("control plane %s cannot be reached, and would keep %s", node.Name, node.Version)
		return []check.Finding{f}
	}
	f.Host, f.Severity = node.Name, check.Warning
	f.Evidence = fmt.Sprintf("the host cannot be reached, and keeps %s until the next apply", node.Version)
	return []check.Finding{f}
}

// inventoryHost is the host of that name that stays in the cluster; nil if there is none.
func (cc *checkContext) inventoryHost(name string) *workflow.Host {
	for _, h := range cc.hosts.All {
		if h.Config.Name == name {
			return h
		}
	}
	return nil
}

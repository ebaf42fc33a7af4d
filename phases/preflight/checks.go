package preflight

import (
	"slices"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
)

// Check is a named check of the hosts.
type Check struct {
	check.Description
	// applies returns why the check does not apply to the cluster; empty if it
	// does. Nil: it always applies.
	applies func(*config.Cluster) (reason string)
	// connection: it is about reaching the host, and also runs on hosts whose
	// facts are not known. measured: it needs the measurements between hosts.
	connection, measured bool
	// nodes: it is about nodes, and does not apply to hosts that run etcd alone.
	nodes bool
	// deferred: its findings are differences between the inventory and the cluster
	// that apply leaves as they are.
	deferred bool
	// upgrade: it is about another Kubernetes version, and does not apply if the version
	// stays.
	upgrade bool
	// run runs the check. A finding without a severity has the check's own.
	run func(*checkContext) []check.Finding
}

// checkContext is the input of the checks.
type checkContext struct {
	cluster *config.Cluster
	hosts   *workflow.Hosts
	// version is the bundle's Kubernetes version; empty where it is not known.
	// bundleErr says why the bundle cannot be used.
	version   string
	bundleErr error
	// arches are the architectures for which the bundle has Kubernetes; nil where they
	// are not known.
	arches []string
	// probe measures between the hosts; nil if the run measures nothing.
	probe prober
	// matrix is what was measured between the hosts; nil if nothing was, for the
	// reason in unmeasured. measureErr is why the measurement failed.
	matrix     *netprobe.Matrix
	unmeasured string
	measureErr error
	// repositories holds, by host, why it cannot install the packages that it lacks.
	repositories map[string]string
	// moreModules holds, by host, why it cannot install the package with the modules of the
	// kernel that it lacks; empty if it can. Only hosts that were asked are in it.
	moreModules map[string]string
	// alive holds, by lost host, what answers at its addresses.
	alive map[string][]string
	// etcd holds why control planes cannot use an etcd that exists.
	etcd []etcdProblem
	// credentials are those of the proxy and of registries. login holds why mirrors of
	// registries have none, although the inventory wants to copy them.
	credentials sources.Credentials
	login       []check.Finding
	// state is that of the cluster on the hosts.
	state *cluster.State
	// target is the Kubernetes version that the cluster gets; empty if it keeps its own.
	target string
	// manifests are the kinds in the manifests of addons that a release removes, and why
	// some of them could not be read.
	manifests []removedKind
}

// reachable are the hosts whose facts are known.
func (cc *checkContext) reachable() []*workflow.Host {
	return slices.DeleteFunc(slices.Clone(cc.hosts.All), func(h *workflow.Host) bool { return h.Facts() == nil })
}

// host is the one of that name; nil if its facts are not known.
func (cc *checkContext) host(name string) *workflow.Host {
	for _, h := range cc.reachable() {
		if h.Config.Name == name {
			return h
		}
	}
	return nil
}

// observed is the host of that name, also if it leaves the cluster; nil if its facts are
// not known.
func (cc *checkContext) observed(name string) *workflow.Host {
	for _, h := range cc.hosts.WithLeaving().All {
		if h.Config.Name == name && h.Facts() != nil {
			return h
		}
	}
	return nil
}

// Checks are all checks of hosts, in the order of the report.
func Checks() []Check {
	all := slices.Concat(
		connectionChecks(),
		systemChecks(),
		resourceChecks(),
		kernelChecks(),
		runtimeChecks(),
		kubeadmChecks(),
		identityChecks(),
		fileChecks(),
		networkChecks(),
		networkManagerChecks(),
		hostsChecks(),
		etcdChecks(),
		leavingChecks(),
		upgradeChecks(),
		pairChecks(),
		loadBalancerChecks(),
		sourceChecks(),
		componentChecks(),
	)
	for i := range all {
		all[i].Docs = "docs/preflight.md#" + all[i].Name
		all[i].nodes = slices.Contains(aboutNodes(), all[i].Name)
	}
	return all
}

// aboutNodes are the checks of what nodes have and hosts that run etcd alone have not:
// pods, a pod network, volumes, a serving certificate.
func aboutNodes() []string {
	return []string{
		"br-netfilter", "ip-forward", "network-manager", "nm-cloud-setup", "cni-config", "pod-network", "dns-loop", "checksum-offload", "calico-interface",
		"flannel-interface", "serving-certificate", "cidr-overlap", "hostname-loopback", "iscsid", "iscsi-tcp", "multipathd",
		"nfs-client", "ports-80-443",
	}
}

// ofNodes is the context of a check that is about nodes.
func (cc *checkContext) ofNodes() *checkContext {
	nodes := *cc
	nodes.hosts = &workflow.Hosts{All: cc.hosts.Nodes(), Leaving: cc.hosts.Leaving}
	nodes.hosts.SetState(cc.hosts.State())
	return &nodes
}

// eachHost runs a check of one host on all hosts.
func eachHost(one func(config.Host, *facts.Facts) []check.Finding) func(*checkContext) []check.Finding {
	return func(cc *checkContext) []check.Finding {
		var all []check.Finding
		for _, h := range cc.reachable() {
			for _, f := range one(h.Config, h.Facts()) {
				f.Host = h.Config.Name
				all = append(all, f)
			}
		}
		return all
	}
}

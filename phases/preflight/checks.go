package preflight

import (
	"slices"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// Check is a named question about the machines.
type Check struct {
	check.Description
	// applies says why there is nothing to look at in this cluster; empty if
	// there is. Nil: there always is.
	applies func(*config.Cluster) (reason string)
	// connection: it is about reaching the machine, and is asked where nothing
	// else can be. measured: it looks at what was measured between machines.
	connection, measured bool
	// run answers it. A finding without a severity has the check's own.
	run func(*checkContext) []check.Finding
}

// checkContext is what checks look at.
type checkContext struct {
	cluster *config.Cluster
	hosts   *workflow.Hosts
	// version is the bundle's Kubernetes version; empty where it is not known.
	// bundleErr says why the bundle cannot be used.
	version   string
	bundleErr error
	// failed are the hosts whose facts could not be read, with the reason.
	failed map[string]error
	// probe measures; nil where nothing is to be measured.
	probe prober
	// matrix is what was measured between the hosts; nil if nothing was, for the
	// reason in noMesh. meshErr is set if it was tried.
	matrix     *netprobe.Matrix
	unmeasured string
	measureErr error
	// members are those of etcd on etcdHost; none if there is no etcd yet.
	etcdHost   string
	members    []kube.EtcdMember
	membersErr error
}

// reachable are the hosts whose facts are known.
func (cc *checkContext) reachable() []*workflow.Host {
	return slices.DeleteFunc(slices.Clone(cc.hosts.All), func(m *workflow.Host) bool { return m.Facts() == nil })
}

// host is the one of that name; nil if its facts are not known.
func (cc *checkContext) host(name string) *workflow.Host {
	for _, m := range cc.reachable() {
		if m.Config.Name == name {
			return m
		}
	}
	return nil
}

// Checks are all that is asked of hosts, in the order of the report.
func Checks() []Check {
	all := slices.Concat(
		connectionChecks(),
		systemChecks(),
		resourceChecks(),
		kernelChecks(),
		runtimeChecks(),
		kubeadmChecks(),
		networkChecks(),
		hostsChecks(),
		etcdChecks(),
		pairChecks(),
		componentChecks(),
	)
	for i := range all {
		all[i].Docs = "docs/preflight.md#" + all[i].Name
	}
	return all
}

// eachHost makes a question about one host a question about all.
func eachHost(one func(config.Host, *facts.Facts) []check.Finding) func(*checkContext) []check.Finding {
	return func(cc *checkContext) []check.Finding {
		var all []check.Finding
		for _, m := range cc.reachable() {
			for _, f := range one(m.Config, m.Facts()) {
				f.Host = m.Config.Name
				all = append(all, f)
			}
		}
		return all
	}
}

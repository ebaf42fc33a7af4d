package phases

import (
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/reset"
	"slipway.io/slipway/provision/workflow"
)

// Reset undoes everything slipway did on the hosts, and leaves the rest alone. A
// cluster with a control plane that is not reset loses the Nodes of the hosts.
func Reset() workflow.Workflow {
	lock := hostprep.Lock(reset.ClusterStays)
	lock.NeedsAll = []string{"facts"}
	network := reset.Network()
	network.Needs = []string{"stop", "stop-etcd"}
	return workflow.Workflow{Name: "reset", Phases: []workflow.Phase{
		preflight.Facts(),
		lock,
		reset.Member(reset.AllHosts),
		reset.Stop(),
		reset.StopEtcd(),
		reset.Node(),
		network,
		reset.Undo(),
	}}
}

package phases

import (
	"slipway.io/slipway/phases/controlplane"
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/nodes"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/workflow"
)

// NodeDrain cordons the selected hosts and moves their pods to other nodes.
func NodeDrain() workflow.Workflow {
	return workflow.Workflow{Name: "node-drain", Phases: []workflow.Phase{
		preflight.Facts(), preflight.Cluster(), clusterLock(), nodes.Cordon(), nodes.Evict(),
	}}
}

// NodeUncordon lets pods run on the selected hosts again.
func NodeUncordon() workflow.Workflow {
	return workflow.Workflow{Name: "node-uncordon", Phases: []workflow.Phase{
		preflight.Facts(), preflight.Cluster(), clusterLock(), nodes.Uncordon(),
	}}
}

// clusterLock keeps an apply from draining other hosts at the same time.
func clusterLock() workflow.Phase {
	lock := hostprep.Lock(controlplane.Answers)
	lock.NeedsAll = []string{"cluster"}
	return lock
}

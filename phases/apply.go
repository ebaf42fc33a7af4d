// Package phases is what slipway does, as lists of phases: each workflow reads
// like a table of contents.
package phases

import (
	"slipway.io/slipway/phases/addons"
	"slipway.io/slipway/phases/controlplane"
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/network"
	"slipway.io/slipway/phases/nodes"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/runtime"
	"slipway.io/slipway/provision/workflow"
)

// Apply turns machines that answer SSH into a cluster, with what the inventory
// wants on it.
func Apply() workflow.Workflow {
	return workflow.Workflow{Name: "apply", Phases: append([]workflow.Phase{
		// Look; nothing is changed before all of this is done everywhere.
		preflight.Facts(),
		preflight.Bundle(),
		preflight.Preflight(),

		// Prepare each machine.
		hostprep.Lock(),
		hostprep.SwapOff(),
		hostprep.Kernel(),
		hostprep.HostsFile(),
		hostprep.Storage(),
		runtime.Containerd(),
		runtime.Images(),
		nodes.Kubelet(),
		runtime.AddonImages(),

		// Make a cluster of them.
		controlplane.Init(),
		nodes.Join(),
		network.CNI(),
		nodes.Metadata(),
		nodes.Serving(),
		nodes.Ready(),
		network.Ready(),
	}, addons.Phases()...)}
}

// Preflight reads the facts that the checks look at.
func Preflight() workflow.Workflow {
	return workflow.Workflow{Name: "preflight", Phases: []workflow.Phase{preflight.Facts()}}
}

package phases

import (
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/reset"
	"slipway.io/slipway/provision/workflow"
)

// Reset undoes everything slipway did on the hosts, and leaves the rest alone.
func Reset() workflow.Workflow {
	lock := hostprep.Lock()
	lock.NeedsAll = []string{"facts"}
	return workflow.Workflow{Name: "reset", Phases: []workflow.Phase{
		preflight.Facts(),
		lock,
		reset.Stop(),
		reset.Network(),
		reset.Undo(),
	}}
}

package phases

import (
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/reset"
	"slipway.io/slipway/provision/workflow"
)

// Reset takes off the machines what slipway put there, and leaves everything
// else.
func Reset() workflow.Workflow {
	lock := hostprep.Lock()
	lock.Needs, lock.NeedsAll = []string{"facts"}, nil
	return workflow.Workflow{Name: "reset", Phases: []workflow.Phase{
		preflight.Facts(),
		lock,
		reset.Stop(),
		reset.Network(),
		reset.Undo(),
	}}
}

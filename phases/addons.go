package phases

import (
	"slipway.io/slipway/phases/addons"
	"slipway.io/slipway/provision/workflow"
)

// AddonStatus shows the state of the addons, or of the selected one.
func AddonStatus(only string, show func([]addons.State) error) workflow.Workflow {
	return workflow.Workflow{Name: "addon-status", Phases: []workflow.Phase{
		addons.Status(only, show),
	}}
}

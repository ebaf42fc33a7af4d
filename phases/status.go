package phases

import (
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/status"
	"slipway.io/slipway/provision/workflow"
)

// Status reads the hosts and the cluster, and shows their state.
func Status(show func(status.Status) error) workflow.Workflow {
	return workflow.Workflow{Name: "status", Phases: []workflow.Phase{
		preflight.Facts(),
		preflight.Cluster(),
		status.Phase(show),
	}}
}

package phases

import (
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/workflow"
)

// Preflight checks all hosts and the network between them, and changes nothing.
func Preflight(o preflight.Options, show preflight.Show) workflow.Workflow {
	return workflow.Workflow{Name: "preflight", Phases: []workflow.Phase{
		preflight.Report(o, show),
	}}
}

// PreflightLocal checks the computer on which a lab is to run.
func PreflightLocal(o preflight.LocalOptions, show preflight.Show) workflow.Workflow {
	return workflow.Workflow{Name: "preflight-local", Phases: []workflow.Phase{
		preflight.Local(o, show),
	}}
}

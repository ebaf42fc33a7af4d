package phases

import (
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

// Validate checks with probes that the cluster works, and stores their results
// in the report, also if it is interrupted.
func Validate(o validate.Options, r *report.ValidationReport) workflow.Workflow {
	return workflow.Workflow{Name: "validate", Phases: []workflow.Phase{validate.Phase(o, r)}}
}

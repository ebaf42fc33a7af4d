package phases

import (
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/workflow"
)

// UpgradePlan shows the versions that the cluster can get, and what stands in their way.
func UpgradePlan(candidates []preflight.Candidate, show func(preflight.UpgradePlan) error) workflow.Workflow {
	return workflow.Workflow{Name: "upgrade-plan", Phases: []workflow.Phase{
		preflight.Facts(), preflight.ClusterForUpgrade(), preflight.PlanUpgrade(candidates, show),
	}}
}

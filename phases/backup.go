package phases

import (
	"slipway.io/slipway/phases/backup"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/workflow"
)

// Backup saves the data of a cluster to localhost.
func Backup(o backup.Options, done func(backup.Result) error) workflow.Workflow {
	return workflow.Workflow{Name: "backup", Phases: []workflow.Phase{
		preflight.Facts(),
		preflight.Cluster(),
		backup.Create(o, done),
	}}
}

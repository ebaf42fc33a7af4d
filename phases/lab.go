package phases

import (
	"slipway.io/slipway/phases/machines"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/workflow"
)

// LabMachines creates the machines of a lab and the inventory with which Apply
// installs a cluster on them. A nil local leaves localhost unchecked.
func LabMachines(l machines.Lab, local *preflight.LocalOptions, show preflight.Show) workflow.Workflow {
	w := workflow.Workflow{Name: "lab-machines"}
	if local != nil {
		w.Phases = append(w.Phases, preflight.Local(*local, show))
	}
	create := l.Phase()
	if local != nil {
		create.Needs = []string{"localhost"}
	}
	w.Phases = append(w.Phases, create)
	return w
}

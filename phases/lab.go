package phases

import (
	"slipway.io/slipway/phases/access"
	"slipway.io/slipway/phases/machines"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

// LabMachines creates the machines of a lab and the inventory of LabCluster. A
// nil local leaves localhost unchecked.
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

// LabCluster applies the inventory of a lab, validates the cluster, and reads
// the kubeconfig if the cluster works.
func LabCluster(o validate.Options, r *report.ValidationReport, use func(conf []byte) error) workflow.Workflow {
	w := Apply()
	w.Name = "lab-up"
	validation, kubeconfig := validate.Phase(o, r), access.Kubeconfig("", use)
	for _, p := range w.Phases {
		validation.NeedsAll = append(validation.NeedsAll, p.Name)
	}
	kubeconfig.Needs = []string{validation.Name}
	w.Phases = append(w.Phases, validation, kubeconfig)
	return w
}

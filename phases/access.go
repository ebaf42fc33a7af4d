package phases

import (
	"slipway.io/slipway/phases/access"
	"slipway.io/slipway/provision/workflow"
)

// Kubeconfig reads the administrator's kubeconfig.
func Kubeconfig(server string, use func(conf []byte) error) workflow.Workflow {
	return workflow.Workflow{Name: "kubeconfig", Phases: []workflow.Phase{
		access.Kubeconfig(server, use),
	}}
}

// Console forwards a port of localhost to the web console.
func Console(c access.Console) workflow.Workflow {
	return workflow.Workflow{Name: "console", Phases: []workflow.Phase{
		c.Phase(),
	}}
}

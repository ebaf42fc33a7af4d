package phases

import (
	"slipway.io/slipway/phases/certificates"
	"slipway.io/slipway/phases/controlplane"
	"slipway.io/slipway/phases/etcd"
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/workflow"
)

// Certificates renews all certificates of kubeadm, also those that are not due. It does not
// need the API server, which may not answer because its certificate has expired.
func Certificates() workflow.Workflow {
	lock := hostprep.Lock(controlplane.Answers)
	lock.NeedsAll = []string{"cluster"}
	return workflow.Workflow{Name: "certificates", Phases: []workflow.Phase{
		preflight.Facts(),
		preflight.Cluster(),
		certificates.Report(),
		lock,
		certificates.All(certificates.EtcdHosts()),
		etcd.ClientAgain(),
		certificates.All(certificates.ControlPlanes(), "etcd-certificates"),
	}}
}

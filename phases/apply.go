// Package phases lists the workflows of slipway. Each one reads like a table of
// contents.
package phases

import (
	"slipway.io/slipway/phases/addons"
	"slipway.io/slipway/phases/backup"
	"slipway.io/slipway/phases/certificates"
	"slipway.io/slipway/phases/controlplane"
	"slipway.io/slipway/phases/endpoint"
	"slipway.io/slipway/phases/etcd"
	"slipway.io/slipway/phases/hostprep"
	"slipway.io/slipway/phases/network"
	"slipway.io/slipway/phases/nodes"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/reset"
	"slipway.io/slipway/phases/runtime"
	"slipway.io/slipway/phases/upgrade"
	"slipway.io/slipway/provision/workflow"
)

// Apply installs the cluster that the inventory describes, and its addons, or brings the
// one that exists there.
func Apply() workflow.Workflow {
	planes, workers := upgrade.ControlPlanes(), upgrade.Workers()
	return workflow.Workflow{Name: "apply", Phases: append([]workflow.Phase{
		// Read and check. Nothing changes before this is done on all hosts.
		preflight.Facts(),
		preflight.Cluster(),
		preflight.Bundle(),
		preflight.Preflight(),

		// Prepare each host.
		hostprep.Lock(controlplane.Answers),
		reset.Finish(),
		hostprep.SwapOff(),
		hostprep.Kernel(),
		hostprep.NetworkManager(),
		hostprep.SELinux(),
		hostprep.HostsFile(),
		hostprep.Storage(),
		hostprep.Firewall(),
		hostprep.FirewallCheck(),
		runtime.Containerd(),
		runtime.Images(),
		nodes.Kubelet(),
		runtime.AddonImages(),

		// Set up the endpoint.
		endpoint.HAProxy(),
		endpoint.Keepalived(),
		endpoint.StartKeepalived(),
		endpoint.KubeVIP(),

		// Set up etcd, if it does not run on the control planes.
		etcd.Authority(),
		etcd.Member(),
		certificates.EtcdHosts(),
		etcd.Ready(),
		etcd.Client(),
		etcd.Data(),

		// Create the cluster.
		controlplane.Files(),
		controlplane.Init(),
		endpoint.KubeVIPPermissions(),
		endpoint.Claimed(),
		nodes.Lost(),

		// Bring the nodes of a running cluster to the inventory, before others join.
		upgrade.Snapshot(),
		upgrade.Settings(),
		turn(nodes.DrainTurn(planes), workflow.JoinedControlPlanes, "cluster-settings", "api-server-files", "etcd-snapshot"),
		upgrade.ControlPlane(planes),
		upgrade.ControlPlaneKubelet(planes),
		turn(nodes.UncordonTurn(planes), workflow.JoinedControlPlanes, "control-plane-kubelet"),
		upgrade.Version(),
		turn(nodes.DrainTurn(workers), workflow.JoinedWorkers, "cluster-version"),
		upgrade.WorkerKubelet(workers),
		turn(nodes.UncordonTurn(workers), workflow.JoinedWorkers, "worker-kubelet"),

		// Add nodes, and install what runs on them.
		nodes.JoinControlPlane(),
		nodes.Join(),
		nodes.Tokens(),
		controlplane.Record(),
		backup.Timer(),
		network.CNI(),
		nodes.Metadata(),
		nodes.Serving(),
		nodes.Ready(),
		certificates.ControlPlanes(),
		network.Ready(),
		network.DNS(),
	}, addons.Phases()...)}
}

// turn gives a phase of a roll its place. The first phase of a turn waits until all hosts
// have the images and programs that it needs.
func turn(p workflow.Phase, on workflow.Place, needs ...string) workflow.Phase {
	p.On, p.Needs = on, needs
	if p.OnDisruption {
		p.NeedsAll = []string{"images", "kubelet"}
	}
	return p
}

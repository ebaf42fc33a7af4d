// Package hostprep prepares hosts for Kubernetes: their locks, swap, kernel modules
// and sysctls, /etc/hosts, and the prerequisites of storage.
package hostprep

import (
	"context"

	"slipway.io/slipway/provision/workflow"
)

// Lock takes the locks of all hosts of the run, and of the cluster if cluster says
// so, until the run ends. It is one phase for all of them: the phases that need it
// change nothing before all of it is locked.
func Lock(cluster func(*workflow.Step) bool) workflow.Phase {
	return workflow.Phase{
		Name:  "lock",
		Title: "lock the hosts and the cluster",
		Why: "Two installers that change the same host or the same cluster at once leave it in a state that neither of them " +
			"expects. Nothing changes anywhere unless every host is locked, and the cluster if it exists.",
		Manual: []string{
			"cat /run/slipway/lock    # the installer that holds the lock of the host",
			"kubectl -n kube-system get lease slipway    # the installer that holds the lock of the cluster",
		},
		On:       workflow.Localhost,
		NeedsAll: []string{"preflight"},
		Always:   true,
		Do:       func(ctx context.Context, s *workflow.Step) error { return s.Lock(ctx, cluster(s)) },
	}
}

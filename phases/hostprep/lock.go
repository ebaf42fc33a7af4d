// Package hostprep prepares a host for Kubernetes: the lock, swap, kernel modules
// and sysctls, /etc/hosts, and the prerequisites of storage.
package hostprep

import (
	"context"

	"slipway.io/slipway/provision/workflow"
)

// Lock takes the lock of the host until the run ends.
func Lock() workflow.Phase {
	return workflow.Phase{
		Name:     "lock",
		Title:    "lock the host",
		Why:      "Two installers that change the same host at once leave it in a state that neither of them expects.",
		Manual:   []string{"cat /run/slipway/lock    # the installer that holds the lock"},
		On:       workflow.EachHost,
		NeedsAll: []string{"preflight"},
		Always:   true,
		Do:       func(ctx context.Context, s *workflow.Step) error { return s.Lock(ctx) },
	}
}

// Package hostprep prepares hosts for Kubernetes: their locks, swap, kernel modules
// and sysctls, /etc/hosts, and the prerequisites of storage.
package hostprep

import (
	"context"

	"slipway.io/slipway/provision/workflow"
)

// Lock takes the locks of all hosts of the run until it ends. It is one phase for
// all of them: the phases that need it change no host before each one is locked.
func Lock() workflow.Phase {
	return workflow.Phase{
		Name:  "lock",
		Title: "lock the hosts",
		Why: "Two installers that change the same host at once leave it in a state that neither of them expects. " +
			"Nothing changes anywhere unless every host is locked.",
		Manual:   []string{"cat /run/slipway/lock    # the installer that holds the lock"},
		On:       workflow.Localhost,
		NeedsAll: []string{"preflight"},
		Always:   true,
		Do:       func(ctx context.Context, s *workflow.Step) error { return s.Lock(ctx) },
	}
}

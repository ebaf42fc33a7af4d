// Package hostprep prepares a machine for Kubernetes: swap off, what the
// kernel has to do, names of the other nodes.
package hostprep

import (
	"context"

	"slipway.io/slipway/provision/workflow"
)

// Lock keeps other installers off the machine until the run ends.
func Lock() workflow.Phase {
	return workflow.Phase{
		Name:     "lock",
		Title:    "keep other installers off the machine",
		Why:      "Two installers at once on one machine leave it in a state that neither of them knows.",
		Manual:   []string{"cat /run/slipway/lock    # who is at work there"},
		On:       workflow.EachHost,
		NeedsAll: []string{"preflight"},
		Always:   true,
		Do:       func(ctx context.Context, s *workflow.Step) error { return s.Lock(ctx) },
	}
}

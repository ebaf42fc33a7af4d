// Package machines creates the machines of a lab, which then become the hosts of
// an inventory.
package machines

import (
	"context"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/workflow"
)

// Lab is a lab to create or to resume.
type Lab struct {
	Provider lab.Provider
	Spec     lab.Spec
	// Created receives the lab when all machines run.
	Created func(*lab.Lab)
}

// Phase creates what is missing, boots what is off and writes the inventory.
func (l Lab) Phase() workflow.Phase {
	return workflow.Phase{
		Name:   "machines",
		Title:  "create the machines",
		Why:    "A lab has bare machines of its own, so that nothing else is at risk.",
		Manual: []string{"vagrant up", "systemctl start systemd-nspawn@MACHINE"},
		On:     workflow.Localhost,
		Do: func(ctx context.Context, _ *workflow.Step) error {
			created, err := l.Provider.Up(ctx, l.Spec)
			if err != nil {
				return workflow.WithHint(err, "fix the problem and rerun to resume; `slipway lab down` deletes the lab")
			}
			l.Created(created)
			return nil
		},
	}
}

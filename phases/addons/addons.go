// Package addons installs what the inventory lists besides Kubernetes: storage,
// ingress, load balancer, metrics, console, and custom addons.
package addons

import (
	"context"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// definition is an addon that slipway knows.
type definition struct {
	// name is its name in the inventory.
	name string
	// title and why are those of its phase.
	title, why string
	// manual are the commands that install it by hand.
	manual []string
	// stages returns its objects in the order in which they are applied: those of a
	// stage are ready before the next one begins.
	stages func(context.Context, *workflow.Step, config.Addon) ([]addon.Stage, error)
	// inUse returns what users would lose with it; nil for an addon that holds no
	// data.
	inUse func(context.Context, *workflow.Step) ([]string, error)
	// cleanup runs before its objects are deleted; nil for nothing.
	cleanup func(context.Context, *workflow.Step) error
	// notice is shown when it is installed; may be empty.
	notice string
}

// definitions are the addons that slipway knows, in the order of the docs.
func definitions() []definition {
	return []definition{
		localPath(), longhorn(), traefik(), ingressNginx(), gatewayAPI(), metalLB(), metricsServer(), headlamp(),
	}
}

// Phases returns a phase for each addon that slipway knows, one for custom addons,
// and before them the one that removes addons.
func Phases() []workflow.Phase {
	phases := []workflow.Phase{Removed()}
	for _, d := range definitions() {
		phases = append(phases, d.phase())
	}
	return append(phases, Custom())
}

// needs adds what every addon's phase needs: nodes that accept pods, are prepared
// for volumes and have the images.
func needs(p workflow.Phase) workflow.Phase {
	p.On = workflow.Seed
	p.Needs = []string{"nodes-ready", "addons-removed"}
	p.NeedsAll = []string{"addon-images", "storage"}
	return p
}

func (d definition) phase() workflow.Phase {
	return needs(workflow.Phase{
		Name: "addon-" + d.name, Title: d.title, Why: d.why, Manual: d.manual,
		Enabled: func(c *config.Cluster) bool {
			_, wanted := c.Addon(d.name)
			return wanted
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			a, _ := s.Cluster().Addon(d.name)
			if d.notice != "" {
				s.Note("%s", d.notice)
			}
			stages, err := d.stages(ctx, s, a)
			if err != nil {
				return err
			}
			if err := addon.Patch(a, stages); err != nil {
				return err
			}
			return addon.Install(ctx, s, a.Name, stages)
		},
	})
}

// Info describes an addon that slipway knows.
type Info struct {
	// Name is its name in the inventory. Title and Why are those of its phase.
	Name, Title, Why string
	// Notice is shown when it is installed; may be empty.
	Notice string
}

// Known returns the addons that slipway knows.
func Known() []Info {
	var all []Info
	for _, d := range definitions() {
		all = append(all, Info{Name: d.name, Title: d.title, Why: d.why, Notice: d.notice})
	}
	return all
}

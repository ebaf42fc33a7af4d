// Package addons puts onto the cluster what the inventory lists beside
// Kubernetes: storage, ingress, load balancer, metrics, console, and the
// user's own.
package addons

import (
	"context"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// definition is an addon that slipway knows.
type definition struct {
	// name is what the inventory calls it.
	name string
	// title and why are those of its phase.
	title, why string
	// manual are the commands by which a person would install it.
	manual []string
	// stages are its objects in the order in which they are applied: those of
	// a stage are ready before the next one begins.
	stages func(context.Context, *workflow.Step, config.Addon) ([]addon.Stage, error)
	// inUse says what of the user's would be lost with it; nil for an addon
	// that holds nothing.
	inUse func(context.Context, *workflow.Step) ([]string, error)
	// uninstall is done before its objects are removed; nil for nothing.
	uninstall func(context.Context, *workflow.Step) error
	// notice is said aloud when it is installed; empty for nothing.
	notice string
}

// definitions are the addons that slipway knows, in the order of the docs.
func definitions() []definition {
	return []definition{
		localPath(), longhorn(), traefik(), ingressNginx(), gatewayAPI(), metalLB(), metricsServer(), headlamp(),
	}
}

// Phases are one for each addon that slipway knows, one for the user's own,
// and before them the one that removes.
func Phases() []workflow.Phase {
	phases := []workflow.Phase{Removed()}
	for _, d := range definitions() {
		phases = append(phases, d.phase())
	}
	return append(phases, Own())
}

// needs are what every addon's phase needs: nodes that take pods, prepared for
// volumes, with the images on them.
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

// Info is what there is to say of an addon that slipway knows.
type Info struct {
	// Name is what the inventory calls it, Title what is done, Why what for.
	Name, Title, Why string
	// Notice is said aloud when it is installed; empty for nothing.
	Notice string
}

// Known are the addons that slipway knows.
func Known() []Info {
	var all []Info
	for _, d := range definitions() {
		all = append(all, Info{Name: d.name, Title: d.title, Why: d.why, Notice: d.notice})
	}
	return all
}

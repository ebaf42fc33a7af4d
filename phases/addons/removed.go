package addons

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Removed removes the addons that the cluster has and the inventory does not
// name any more.
func Removed() workflow.Phase {
	return workflow.Phase{
		Name:  "addons-removed",
		Title: "remove the addons that the inventory names no more",
		Why: "What was taken out of the inventory would run on, and nobody would know why. Only what slipway made goes, and " +
			"nothing that holds data.",
		Manual: []string{"kubectl delete -f ADDON.yaml"},
		On:     workflow.Seed,
		Needs:  []string{"nodes-ready"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return !s.Facts().Exists(workflow.AdminConf), nil // a new cluster has none
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			client, err := s.Kube(ctx)
			if err != nil {
				return err
			}
			there, err := client.ApplySets(ctx)
			if err != nil {
				return err
			}
			for _, name := range there {
				if _, wanted := s.Cluster().Addon(name); wanted || slices.Contains(config.PodNetworks(), name) {
					// Pod networks are sets too, and are not addons.
					continue
				}
				if err := remove(ctx, s, name); err != nil {
					return fmt.Errorf("remove %s: %w", name, err)
				}
			}
			return nil
		},
	}
}

func remove(ctx context.Context, s *workflow.Step, name string) error {
	all := definitions()
	if i := slices.IndexFunc(all, func(d definition) bool { return d.name == name }); i >= 0 {
		if err := all[i].letGo(ctx, s); err != nil {
			return err
		}
	}
	set, err := s.Set(ctx, name)
	if err != nil {
		return err
	}
	return set.Prune(ctx)
}

// letGo refuses to remove what is in use, and does what comes before.
func (d definition) letGo(ctx context.Context, s *workflow.Step) error {
	if d.inUse != nil {
		used, err := d.inUse(ctx, s)
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return workflow.WithHint(
				fmt.Errorf("it is in use: %s", strings.Join(used, ", ")),
				fmt.Sprintf("delete them if nobody needs them, or put %s into the inventory again", d.name))
		}
	}
	if d.uninstall == nil || s.Planning() {
		return nil
	}
	return d.uninstall(ctx, s)
}

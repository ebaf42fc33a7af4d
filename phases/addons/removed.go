package addons

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Removed removes the addons in the cluster that are no longer in the inventory.
func Removed() workflow.Phase {
	return workflow.Phase{
		Name:  "addons-removed",
		Title: "remove addons that are no longer in the inventory",
		Why: "An addon that was deleted from the inventory would keep running. Only objects that slipway created are deleted, " +
			"and no addon that holds data.",
		Manual: []string{"kubectl delete -f ADDON.yaml"},
		On:     workflow.Seed,
		Needs:  []string{"nodes-ready"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return !s.Facts().Exists(kube.AdminConf), nil // a new cluster has no addons
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			client, err := s.Kube(ctx)
			if err != nil {
				return err
			}
			sets, err := client.ApplySets(ctx)
			if err != nil {
				return err
			}
			for _, name := range sets {
				// Pod networks are sets too, but not addons.
				if _, wanted := s.Cluster().Addon(name); wanted || slices.Contains(config.PodNetworks(), name) {
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
		if err := all[i].preRemove(ctx, s); err != nil {
			return err
		}
	}
	set, err := s.Set(ctx, name)
	if err != nil {
		return err
	}
	return set.Prune(ctx)
}

// preRemove refuses to remove an addon that is in use, and runs its cleanup.
func (d definition) preRemove(ctx context.Context, s *workflow.Step) error {
	if d.inUse != nil {
		used, err := d.inUse(ctx, s)
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return workflow.WithHint(
				fmt.Errorf("it is in use: %s", strings.Join(used, ", ")),
				fmt.Sprintf("delete them if they are no longer needed, or add %s to the inventory again", d.name))
		}
	}
	if d.cleanup == nil {
		return nil
	}
	return d.cleanup(ctx, s)
}

package addons

import (
	"context"
	"fmt"
	"slices"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// State is an addon in the cluster, as `addon status -o json` shows it.
type State struct {
	Name string `json:"name"`
	// Listed: the inventory lists it.
	Listed bool `json:"listed"`
	// Installed: the cluster has objects of it. Objects is their number.
	Installed bool `json:"installed"`
	Objects   int  `json:"objects"`
	Ready     bool `json:"ready"`
	// Seen is what is not ready, and why.
	Seen string `json:"seen,omitempty"`
}

// Status shows the state of every addon that the inventory or the cluster has,
// or of the selected one.
func Status(only string, show func([]State) error) workflow.Phase {
	return workflow.Phase{
		Name:     "addon-status",
		Title:    "read the state of the addons",
		Why:      "Shows which addons are installed, and what keeps them from being ready.",
		Manual:   []string{"kubectl get all,pvc --all-namespaces -l applyset.kubernetes.io/part-of"},
		On:       workflow.Localhost,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			states, err := states(ctx, s, only)
			if err != nil {
				return err
			}
			return show(states)
		},
	}
}

func states(ctx context.Context, s *workflow.Step, only string) ([]State, error) {
	client, err := s.Kube(ctx)
	if err != nil {
		return nil, err
	}
	names, err := client.ApplySets(ctx)
	if err != nil {
		return nil, err
	}
	for _, listed := range s.Cluster().Addons {
		if !slices.Contains(names, listed.Name) {
			names = append(names, listed.Name)
		}
	}
	if only != "" {
		if !slices.Contains(names, only) {
			return nil, &workflow.SelectionError{Problems: []string{fmt.Sprintf("addon %q is neither in the inventory nor in the cluster", only)}}
		}
		names = []string{only}
	}
	var all []State
	for _, name := range names {
		state, err := stateOf(ctx, client, s.Cluster(), name)
		if err != nil {
			return nil, err
		}
		all = append(all, state)
	}
	return all, nil
}

func stateOf(ctx context.Context, client *kube.Client, cluster *config.Cluster, name string) (State, error) {
	_, listed := cluster.Addon(name)
	state := State{Name: name, Listed: listed || name == cluster.Network.CNI.Name}
	set, err := client.OpenApplySet(ctx, name)
	if err != nil {
		return state, err
	}
	if state.Installed = set.Exists(); !state.Installed {
		state.Seen = "not installed"
		return state, nil
	}
	members, err := set.Members(ctx)
	if err != nil {
		return state, err
	}
	state.Objects = len(members)
	state.Ready, state.Seen, err = kube.Ready(name, members).Check(ctx, client)
	return state, err
}

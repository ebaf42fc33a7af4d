package cmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/lab"
)

func newLabDown(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Delete the lab and its kubeconfig entry",
		Long: `Delete the machines of the lab with their disks and snapshots, the inventory of the
lab, and the entry of its cluster in ~/.kube/config. If the lab does not exist, the
command succeeds.`,
		Example: "  slipway lab down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, provider, err := a.labOf(cmd.Context())
			exists := !errors.Is(err, lab.ErrNotFound)
			if err := provider.Down(cmd.Context(), a.labName()); err != nil {
				return err
			}
			if !exists {
				return nil // the kubeconfig entry belongs to another cluster
			}
			return a.forgetKubeconfig(a.labName())
		},
	}
}

func newLabHalt(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "halt",
		Short:   "Power off the machines of the lab",
		Example: "  slipway lab halt && slipway lab resume",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.power(cmd.Context(), func(p lab.Provider) error {
				_, err := p.Halt(cmd.Context(), a.labName())
				return err
			})
		},
	}
}

func newLabResume(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "resume",
		Short:   "Boot the machines of a halted lab",
		Example: "  slipway lab resume",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.power(cmd.Context(), func(p lab.Provider) error {
				_, err := p.Boot(cmd.Context(), a.labName())
				return err
			})
		},
	}
}

// power calls do with the provider of an existing lab.
func (a *app) power(ctx context.Context, do func(lab.Provider) error) error {
	_, provider, err := a.labOf(ctx)
	if err != nil {
		return err
	}
	return do(provider)
}

package cmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/lab"
)

func newLabDown(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Power the machines off and remove all that belongs to the lab, its kubeconfig entry too",
		Example: "  slipway lab down",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, provider, err := a.labOf(cmd.Context())
			there := !errors.Is(err, lab.ErrNotFound)
			if err := provider.Down(cmd.Context(), a.labName()); err != nil {
				return err
			}
			if !there {
				return nil // a cluster of that name is not the lab's
			}
			return a.forgetKubeconfig(a.labName())
		},
	}
}

func newLabHalt(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "halt",
		Short:   "Power the machines off and keep them",
		Example: "  slipway lab halt && slipway lab resume",
		Args:    noArgs,
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
		Short:   "Boot the machines of a lab that was halted",
		Example: "  slipway lab resume",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.power(cmd.Context(), func(p lab.Provider) error {
				_, err := p.Boot(cmd.Context(), a.labName())
				return err
			})
		},
	}
}

// power does something to the machines of a lab that is there.
func (a *app) power(ctx context.Context, do func(lab.Provider) error) error {
	_, provider, err := a.labOf(ctx)
	if err != nil {
		return err
	}
	return do(provider)
}

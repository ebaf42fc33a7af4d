package cmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/workflow"
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
	cmd := &cobra.Command{
		Use:   "halt [MACHINE...]",
		Short: "Power off machines of the lab",
		Long: `Shut down machines of the lab, or all of them, and keep their disks. With --force, the
machines lose their power instead: no program on them can shut down. "slipway lab
resume" boots them again.`,
		Example:           "  slipway lab halt && slipway lab resume\n  slipway lab halt cp2 --force",
		ValidArgsFunction: completeMachines(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.power(cmd.Context(), args, func(p lab.Provider) error {
				options := lab.HaltOptions{Machines: args, Force: a.settings.GetBool("force")}
				_, err := p.Halt(cmd.Context(), a.labName(), options)
				return err
			})
		},
	}
	cmd.Flags().Bool("force", false, "Cut the power instead of shutting down.")
	return cmd
}

func newLabResume(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "resume [MACHINE...]",
		Aliases: []string{"start"},
		Short:   "Boot machines of the lab that are off",
		Long: `Boot machines of the lab that are off, or all of them, and wait until they answer. The
inventory of the lab does not change.`,
		Example:           "  slipway lab resume\n  slipway lab resume cp2",
		ValidArgsFunction: completeMachines(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.power(cmd.Context(), args, func(p lab.Provider) error {
				_, err := p.Boot(cmd.Context(), a.labName(), args...)
				return err
			})
		},
	}
}

// power calls do with the provider of an existing lab that has these machines.
func (a *app) power(ctx context.Context, machines []string, do func(lab.Provider) error) error {
	found, provider, err := a.labOf(ctx)
	if err != nil {
		return err
	}
	if _, err := found.Named(machines...); err != nil {
		return workflow.WithHint(err, "run `slipway lab status` to list the machines")
	}
	return do(provider)
}

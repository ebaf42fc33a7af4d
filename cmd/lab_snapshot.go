package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/lab"
)

func newLabSnapshot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save the machines of a lab, and go back to what was saved",
		Long: `A snapshot holds the disks of all machines at one moment: for that, they are powered
off and boot again. Going back loses what was written since. Machine containers have
no snapshots.`,
		Example: "  slipway lab snapshot save installed\n  slipway lab snapshot list\n  slipway lab snapshot restore installed",
	}
	return group(cmd, newSnapshotSave(a), newSnapshotRestore(a), newSnapshotList(a))
}

func newSnapshotSave(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "save SNAPSHOT",
		Short:   "Save all machines under a new name",
		Example: "  slipway lab snapshot save installed",
		Args:    oneArg("the name of the snapshot"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.snapshotter(cmd.Context())
			if err != nil {
				return err
			}
			return s.SaveSnapshot(cmd.Context(), a.labName(), args[0])
		},
	}
}

func newSnapshotRestore(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "restore SNAPSHOT",
		Short:   "Make all machines be as they were, and boot them; what was written since is lost",
		Example: "  slipway lab snapshot restore installed",
		Args:    oneArg("the name of the snapshot"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.snapshotter(cmd.Context())
			if err != nil {
				return err
			}
			return s.RestoreSnapshot(cmd.Context(), a.labName(), args[0])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 || a.loadSettings(cmd) != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			s, err := a.snapshotter(cmd.Context())
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names, _ := s.Snapshots(cmd.Context(), a.labName()) // without any there is nothing to complete
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func newSnapshotList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List what all machines can go back to",
		Example: "  slipway lab snapshot list -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.snapshotter(cmd.Context())
			if err != nil {
				return err
			}
			names, err := s.Snapshots(cmd.Context(), a.labName())
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(append([]string{}, names...))
			}
			for _, name := range names {
				fmt.Fprintln(a.out, name)
			}
			return nil
		},
	}
}

// snapshotter is the provider of a lab that is there, if it has snapshots.
func (a *app) snapshotter(ctx context.Context) (lab.Snapshotter, error) {
	_, provider, err := a.labOf(ctx)
	if err != nil {
		return nil, err
	}
	s, ok := provider.(lab.Snapshotter)
	if !ok {
		return nil, &usageError{fmt.Errorf("lab %s consists of machine containers, which have no snapshots: make one with --provider vagrant", a.labName())}
	}
	return s, nil
}

package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/workflow"
)

func newLabSnapshot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save and restore the machines of a lab",
		Long: `Save and restore the disks of all machines of a lab. Machines are powered off for a
snapshot and boot afterwards. Restoring a snapshot discards everything written since.
Only labs with the provider vagrant have snapshots.`,
		Example: "  slipway lab snapshot save installed\n  slipway lab snapshot list\n  slipway lab snapshot restore installed",
	}
	return group(cmd, newSnapshotSave(a), newSnapshotRestore(a), newSnapshotList(a))
}

func newSnapshotSave(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "save SNAPSHOT",
		Short:   "Save all machines in a new snapshot",
		Example: "  slipway lab snapshot save installed",
		Args:    cobra.ExactArgs(1),
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
		Short:   "Restore all machines from a snapshot and boot them",
		Example: "  slipway lab snapshot restore installed",
		Args:    cobra.ExactArgs(1),
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
			names, _ := s.Snapshots(cmd.Context(), a.labName()) // an error completes nothing
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func newSnapshotList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the snapshots that all machines have",
		Example: "  slipway lab snapshot list -o json",
		Args:    cobra.NoArgs,
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

// snapshotter returns the provider of an existing lab if it supports snapshots.
func (a *app) snapshotter(ctx context.Context) (lab.Snapshotter, error) {
	_, provider, err := a.labOf(ctx)
	if err != nil {
		return nil, err
	}
	s, ok := provider.(lab.Snapshotter)
	if !ok {
		return nil, &usageError{workflow.WithHint(fmt.Errorf("lab %q: containers do not support snapshots", a.labName()), "create a lab with --provider vagrant")}
	}
	return s, nil
}

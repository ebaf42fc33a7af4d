package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/workflow"
)

func newReset(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Undo everything slipway did on the hosts",
		Long: `Stop the cluster, and undo everything slipway did on the hosts, as recorded in the
journal of each host: changed files are restored, created files are deleted, and swap
and services are set as before. What others changed stays. All data in the cluster is
lost. If a control plane stays, the Nodes of the hosts are deleted.`,
		Example: `  slipway reset --plan
  slipway reset --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if plan := a.settings.GetBool("plan"); plan || a.settings.GetBool("yes") {
				s, err := a.open()
				if err != nil {
					return err
				}
				defer s.close()
				s.hosts = s.hosts.WithLeaving()
				return a.runOn(cmd.Context(), s, phases.Reset(), workflow.Selection{Hosts: a.list("hosts")}, plan)
			}
			cluster, path, err := a.inventory()
			if err != nil {
				return err
			}
			what := fmt.Sprintf("all hosts of %s (%d)", path, len(cluster.Hosts)+len(cluster.Absent()))
			if hosts := a.list("hosts"); len(hosts) > 0 {
				what = strings.Join(hosts, ", ")
			}
			return &usageError{workflow.WithHint(
				fmt.Errorf("reset destroys cluster %q on %s", cluster.Metadata.Name, what),
				"rerun with --yes to confirm, or with --plan to see what would change")}
		},
	}
	connectionFlags(cmd)
	lockFlags(cmd)
	flags := cmd.Flags()
	flags.BoolP("yes", "y", false, "Confirm the reset.")
	flags.Bool("plan", false, "Print what would change, and change nothing.")
	flags.StringSlice("hosts", nil, "Names of the hosts to work on. (default all)")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	return cmd
}

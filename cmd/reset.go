package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/workflow"
)

func newReset(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Take off the machines what slipway put there",
		Long: `Take the cluster down and take back, by the journal on each machine, what slipway
did: files that were changed come back as they were, files that were made go,
swap and services are as before. Everything else stays. What was stored in the
cluster is lost.`,
		Example: `  slipway reset --plan
  slipway reset --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if plan := a.settings.GetBool("plan"); plan || a.settings.GetBool("yes") {
				selection := workflow.Selection{Hosts: a.list("hosts")}
				return a.run(cmd.Context(), phases.Reset(), selection, plan)
			}
			cluster, path, err := a.inventory()
			if err != nil {
				return err
			}
			return &usageError{workflow.WithHint(
				fmt.Errorf("reset destroys the cluster %q on the %d hosts of %s", cluster.Metadata.Name, len(cluster.Hosts), path),
				"if that is what you want, run it again with --yes; --plan says what it would do")}
		},
	}
	connectionFlags(cmd)
	flags := cmd.Flags()
	flags.BoolP("yes", "y", false, "do it")
	flags.Bool("plan", false, "say what would be done, and do nothing")
	flags.StringSlice("hosts", nil, "the hosts to work on, by name (default: all)")
	flags.Int("parallel", 20, "how many steps may be under way at once, over all hosts")
	return cmd
}

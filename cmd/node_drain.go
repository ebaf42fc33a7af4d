package cmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newNodeDrain(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain NAME...",
		Short: "Move the pods of nodes to other nodes, for maintenance",
		Long: `Cordon nodes and evict their pods, so that you can work on their hosts. The command shows
which pods it evicts, and which PodDisruptionBudgets do not allow it now, and asks for
confirmation. Several nodes are drained at the same time, as far as the budgets allow it:
slipway waits for them, and until the evicted pods are ready on other nodes, or until
--timeout. Pods that fit on no other node are named.

Pods of DaemonSets and static pods stay. Volumes of the type emptyDir are lost. The nodes
stay cordoned, also after "slipway apply", until "slipway node uncordon". The inventory
does not change.

With -o json, standard output has the events of the drain, and nothing else.`,
		Example: `  slipway node drain w-1
  slipway node drain w-1 w-2 --timeout 15m
  slipway node drain w-1 --plan
  slipway node drain w-1 --yes -o json`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.drainNodes(cmd.Context(), args) },
	}
	maintenanceFlags(a, cmd)
	cmd.Flags().BoolP("yes", "y", false, "Confirm the drain.")
	return cmd
}

func newNodeUncordon(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uncordon NAME...",
		Short: "Let pods run on nodes again, after maintenance",
		Long: `Uncordon nodes that slipway has cordoned: for maintenance, or in a run that was
interrupted. A node that somebody else has cordoned stays cordoned, and is an error.

With -o json, standard output has the events of the command, and nothing else.`,
		Example: `  slipway node uncordon w-1
  slipway node uncordon w-1 w-2 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openWithLeaving()
			if err != nil {
				return err
			}
			defer s.close()
			return a.runOn(cmd.Context(), s, phases.NodeUncordon(), workflow.Selection{Hosts: args}, a.settings.GetBool("plan"))
		},
	}
	maintenanceFlags(a, cmd)
	return cmd
}

func maintenanceFlags(a *app, cmd *cobra.Command) {
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.ValidArgsFunction = a.completeNodes
	connectionFlags(cmd)
	lockFlags(cmd)
	flags := cmd.Flags()
	flags.Bool("plan", false, "Print what would change, and change nothing.")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	flags.Duration("timeout", 5*time.Minute, "Time to wait for evictions, and for pods that become ready on other nodes.")
}

// openWithLeaving opens a session that also works on hosts that are still to leave.
func (a *app) openWithLeaving() (*session, error) {
	s, err := a.open()
	if err == nil {
		s.hosts = s.hosts.WithLeaving()
	}
	return s, err
}

// drainNodes shows what a drain evicts, and does it after confirmation.
func (a *app) drainNodes(ctx context.Context, names []string) error {
	s, err := a.openWithLeaving()
	if err != nil {
		return err
	}
	defer s.close()
	selection, plan := workflow.Selection{Hosts: names}, a.settings.GetBool("plan")
	if !plan && !a.settings.GetBool("yes") {
		events := &report.Recorder{}
		run := a.newRun(s, selection, true)
		if err := selection.Check(phases.NodeDrain(), s.hosts.Names()); err != nil {
			return err
		}
		run.Sink = events
		if err := run.Do(ctx, phases.NodeDrain()); !complete(err) {
			return err
		}
		if err := report.Plan(a.err, events.Events()); err != nil {
			return err
		}
		what := "node"
		if len(names) > 1 {
			what = "nodes"
		}
		if err := a.confirm(fmt.Sprintf("Drain %s %s of cluster %q?", what, strings.Join(names, ", "), s.cluster.Metadata.Name)); err != nil {
			return err
		}
	}
	return a.runOn(ctx, s, phases.NodeDrain(), selection, plan)
}

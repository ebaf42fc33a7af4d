package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/workflow"
)

// selectionFlags choose a part of a workflow.
func selectionFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSlice("skip-phases", nil, "phases to leave out (see `slipway phase list`)")
	flags.String("from", "", "the first phase to do")
	flags.String("until", "", "the last phase to do")
	flags.StringSlice("hosts", nil, "the hosts to work on, by name (default: all)")
	flags.Int("parallel", 20, "how many steps may be under way at once, over all hosts")
	flags.Duration("timeout", 5*time.Minute, "how long nodes, and each addon, may take to be ready")
}

func (a *app) selection() workflow.Selection {
	v := a.settings
	return workflow.Selection{
		Skip: a.list("skip-phases"), From: v.GetString("from"), Until: v.GetString("until"),
		Hosts: a.list("hosts"),
	}
}

func newApply(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Install the cluster, or bring it to what the inventory says",
		Long: `Install the cluster that the inventory describes. Checks run first, and nothing
is changed unless they pass. What is done already is left alone: a second apply
changes nothing, and one that was interrupted goes on.`,
		Example: `  slipway apply
  slipway apply -i lab.yaml --hosts w-3
  slipway apply --until kubelet -v`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd.Context(), phases.Apply(), a.selection(), false)
		},
	}
	connectionFlags(cmd)
	selectionFlags(cmd)
	return cmd
}

func newPlan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say what apply would change, and change nothing",
		Example: `  slipway plan
  slipway plan --hosts w-3 -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd.Context(), phases.Apply(), a.selection(), true)
		},
	}
	connectionFlags(cmd)
	selectionFlags(cmd)
	return cmd
}

// run runs a workflow over the inventory's machines.
func (a *app) run(ctx context.Context, w workflow.Workflow, selection workflow.Selection, plan bool) error {
	cluster, path, err := a.inventory()
	if err != nil {
		return err
	}
	hosts, closeAll, err := a.hosts(cluster, path)
	if err != nil {
		return err
	}
	defer closeAll()
	run := &workflow.Run{
		Cluster: cluster, Hosts: hosts, Selection: selection, Plan: plan,
		Parallel: max(a.settings.GetInt("parallel"), 1), Holder: holder(), Hint: hintFor,
		Timeout: a.settings.GetDuration("timeout"),
	}
	if _, needs := w.Phase("bundle"); needs {
		if run.Bundle, err = a.bundle(ctx, cluster); err != nil {
			return err
		}
	}
	name := w.Name
	if plan {
		name = "plan"
	}
	out, err := a.output(name, plan)
	if err != nil {
		return err
	}
	run.Sink = out
	err = run.Do(ctx, w)
	if closing := out.close(); closing != nil && err == nil {
		return fmt.Errorf("output: %w", closing)
	}
	if err != nil && out.told() {
		return reported{err}
	}
	return err
}

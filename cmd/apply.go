package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
)

// selectionFlags select a part of a workflow.
func selectionFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSlice("skip-phases", nil, "Phases to skip, as listed by \"slipway phase list\".")
	flags.String("from", "", "First phase to run, in the order of \"slipway phase list\".")
	flags.String("until", "", "Last phase to run, in the order of \"slipway phase list\".")
	flags.StringSlice("hosts", nil, "Names of the hosts to work on. (default all)")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	flags.Duration("timeout", 5*time.Minute, "Time to wait for nodes, and for each addon, to become ready.")
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
		Short: "Install or update the cluster described by the inventory",
		Long: `Install or update the cluster described by the inventory. Nothing changes unless all
checks pass. Steps that are already done are skipped: a second apply changes nothing.
Rerun the command to resume an interrupted apply.

Hosts with "state: absent" are drained, removed from the cluster and reset, after all
other changes. Hosts with "state: lost" are removed from the cluster without a login.

The hosts need an SSH server, and a user that is root or can run sudo.`,
		Example: `  slipway apply
  slipway apply -i lab.yaml --hosts w-3
  slipway apply --batch 25%
  slipway apply --until kubelet -v`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.apply(cmd.Context(), a.selection(), false)
		},
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	lockFlags(cmd)
	selectionFlags(cmd)
	batchFlag(cmd)
	return cmd
}

// batchFlag is for workflows in which workers take turns.
func batchFlag(cmd *cobra.Command) {
	cmd.Flags().String("batch", "10%", "Number or percentage of the workers that change at the same time, at least 1.")
}

func newPlan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Run all checks, and print what apply would change on each host and in the cluster, with
a diff of each file and object. Secrets in diffs are replaced. Nothing changes.

With --detailed-exitcode the exit code is 12 if there are changes, or differences from the
inventory that apply cannot change on a running cluster, and otherwise 0.`,
		Example: `  slipway plan
  slipway plan --hosts w-3 -o json
  slipway plan --detailed-exitcode`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.apply(cmd.Context(), a.selection(), true)
		},
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	selectionFlags(cmd)
	batchFlag(cmd)
	cmd.Flags().Bool("detailed-exitcode", false, "Exit with 12 if the cluster differs from the inventory.")
	return cmd
}

// apply applies the inventory: hosts join first, and those that are absent leave then.
func (a *app) apply(ctx context.Context, selection workflow.Selection, plan bool) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	return a.runOn(ctx, s, phases.Apply(), selection, plan, a.removal, a.balance)
}

// removal returns the stage that removes the absent hosts that apply has found in the
// cluster; nil if there are none, or they stay for now. failed is the error of apply.
func (a *app) removal(s *session, selection workflow.Selection, failed error, note noteFunc) *stage {
	remove, removed, elsewhere := phases.Removal(s.hosts, selection)
	if complete(failed) {
		for _, name := range removed {
			then := "you can delete it from the inventory"
			if s.cluster.EvenControlPlanes() != "" {
				then = "delete it from the inventory when the number of control planes is odd"
			}
			note("%s has left the cluster; %s", name, then)
		}
		for _, name := range elsewhere {
			note("%s is not in the cluster, and stays as it is: slipway has prepared it, perhaps for another cluster; delete it from the inventory", name)
		}
	}
	if len(remove) == 0 {
		return nil
	}
	if why := staying(s.hosts, selection, failed); why != "" {
		note("%s: not removed%s", strings.Join(remove, ", "), why)
		return nil
	}
	return &stage{phases.Remove(), s.hosts.WithLeaving(), workflow.Selection{Hosts: remove}}
}

// balance returns the stage that follows the removal of hosts: the load balancer of the
// endpoint and the firewalls forget them. It does not forget one that could not be reached: its API
// server may run, and it would take the address if it heard nothing of the others. failed is
// the error of the run so far.
func (a *app) balance(s *session, selection workflow.Selection, failed error, note noteFunc) *stage {
	removed, _, _ := phases.Removal(s.hosts, selection)
	removed = slices.DeleteFunc(removed, func(name string) bool {
		return slices.ContainsFunc(s.hosts.Leaving, func(h *workflow.Host) bool { return h.Config.Name == name && h.Facts() == nil })
	})
	unbalanced := phases.Unbalanced(s.cluster, removed)
	if staying(s.hosts, selection, failed) != "" || !unbalanced && !phases.LetIn(s.cluster, s.hosts, removed) {
		return nil
	}
	if len(selection.Hosts) > 0 {
		where := "the firewalls still know"
		if unbalanced {
			where = "the load balancer still has"
		}
		note("%s %s; run `slipway apply` without --hosts to update it", where, strings.Join(removed, ", "))
		return nil
	}
	unreached := slices.DeleteFunc(slices.Clone(s.hosts.Leaving), func(h *workflow.Host) bool { return slices.Contains(removed, h.Config.Name) })
	stay := &workflow.Hosts{All: s.hosts.All, Leaving: unreached}
	stay.SetState(s.hosts.State())
	return &stage{phases.Balance(), stay, selection}
}

// staying is why absent hosts stay for now; empty if they leave.
func staying(hosts *workflow.Hosts, selection workflow.Selection, failed error) string {
	unreachable, unselected := phases.Pending(hosts, selection)
	switch {
	case selection.From != "" || selection.Until != "" || len(selection.Skip) > 0:
		return "; run `slipway apply` without --from, --until and --skip-phases"
	case !complete(failed):
		return ", since apply failed before; rerun it to resume"
	case len(unreachable) > 0:
		return fmt.Sprintf(", since %s cannot be reached and has not joined; make it reachable and rerun `slipway apply`", strings.Join(unreachable, ", "))
	case len(unselected) > 0:
		return fmt.Sprintf(", since %s is not selected and has not joined; run `slipway apply` without --hosts", strings.Join(unselected, ", "))
	}
	return ""
}

// complete reports whether apply changed all hosts that can be reached. Others do not keep
// a host from leaving: the quorum of etcd is checked again.
func complete(failed error) bool {
	var unreachable *workflow.UnreachableError
	return failed == nil || errors.As(failed, &unreachable)
}

// run runs a workflow on the inventory's hosts.
func (a *app) run(ctx context.Context, w workflow.Workflow, selection workflow.Selection, plan bool) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	return a.runOn(ctx, s, w, selection, plan)
}

// noteFunc shows a message to people.
type noteFunc func(format string, args ...any)

// stage is a workflow that continues a run.
type stage struct {
	workflow  workflow.Workflow
	hosts     *workflow.Hosts
	selection workflow.Selection
}

// runOn runs a workflow with a live view, a log and a report, and then, as a part of
// the same run, the stages that follow from what it found.
func (a *app) runOn(
	ctx context.Context, s *session, w workflow.Workflow, selection workflow.Selection, plan bool,
	then ...func(*session, workflow.Selection, error, noteFunc) *stage,
) error {
	run := a.newRun(s, selection, plan)
	var err error
	if run.Batch, err = workflow.ParseBatch(a.settings.GetString("batch")); err != nil {
		return &usageError{fmt.Errorf("--batch %w", err)}
	}
	if err := selection.Check(w, s.hosts.WithLeaving().Names()); err != nil {
		return err
	}
	if _, needs := w.Phase("bundle"); needs {
		if run.Bundle, err = namedBundle(s.cluster); err != nil {
			return err // before slipway connects to a host
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
	note := func(format string, args ...any) {
		out.Event(report.Event{Time: time.Now(), Kind: report.Note, Cluster: s.cluster.Metadata.Name, Message: fmt.Sprintf(format, args...)})
	}
	err = run.Do(ctx, w)
	for _, following := range then {
		if next := following(s, selection, err, note); next != nil {
			more := a.newRun(s, next.selection, plan)
			more.Hosts, more.Bundle, more.Sink = next.hosts, run.Bundle, out
			err = more.Do(ctx, next.workflow) // which has the unreachable hosts again
		}
	}
	if closing := out.close(); closing != nil && err == nil {
		return fmt.Errorf("output: %w", closing)
	}
	switch {
	case err != nil && out.failed.Load():
		return reported{err}
	case err == nil && plan && a.settings.GetBool("detailed-exitcode") && out.changes.Load()+out.deferred.Load() > 0:
		return reported{errChanges}
	}
	return err
}

func (a *app) newRun(s *session, selection workflow.Selection, plan bool) *workflow.Run {
	return &workflow.Run{
		Cluster: s.cluster, Hosts: s.hosts, Selection: selection, Plan: plan, OpenBundle: cachedBundleOf(s), Credentials: sources.Local(),
		Parallel: max(a.settings.GetInt("parallel"), 1), Holder: lockHolder(), Hint: hintFor,
		Timeout: a.settings.GetDuration("timeout"), LockTimeout: a.settings.GetDuration("lock-timeout"),
	}
}

// query runs a workflow whose result the command prints itself. Its error is
// that of the phase.
func (a *app) query(ctx context.Context, s *session, w workflow.Workflow) error {
	run := &workflow.Run{Cluster: s.cluster, Hosts: s.hosts, Credentials: sources.Local(), Sink: report.Multi(), Holder: lockHolder()}
	err := run.Do(ctx, w)
	var failed *workflow.PhaseError
	if ctx.Err() == nil && errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// onLocalhost is a session without an inventory.
func onLocalhost() *session { return &session{cluster: &config.Cluster{}, hosts: &workflow.Hosts{}} }

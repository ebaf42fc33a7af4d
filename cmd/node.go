package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/diff"
	"slipway.io/slipway/provision/workflow"
)

func newNode(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "node",
		Short: "Remove nodes from the cluster",
		Long: `Remove nodes from the cluster. "slipway node remove" and "slipway node lost" set the state
of a host in the inventory, keep the rest of the file as it is, and then apply the
inventory.

"remove" needs SSH access to the host. Use "lost" for a host that does not exist any more.
To add a node, add its host to the inventory and run "slipway apply".`,
		Example: `  slipway node remove w-3
  slipway node lost cp-2`,
	}, newNodeRemove(a), newNodeLost(a))
}

func newNodeRemove(a *app) *cobra.Command {
	return nodeCommand(a, config.StateAbsent, &cobra.Command{
		Use:   "remove NAME",
		Short: "Drain a node, remove it from the cluster and reset its host",
		Long: `Set "state: absent" for a host in the inventory, show the change, ask for confirmation, and
apply the inventory: the node is drained, its etcd member is removed if it is a control
plane, slipway undoes everything that it did on the host, and deletes the Node. Data on
the host is lost.

PodDisruptionBudgets are respected: slipway waits until they allow each eviction, or
until --timeout. A control plane is refused if etcd would lose its quorum, or if an even
number of control planes would be left: add another one to the inventory first.

With -o json, standard output has the events of the apply, and nothing else.`,
		Example: `  slipway node remove w-3
  slipway node remove w-3 --timeout 15m
  slipway node remove w-3 --yes -o json
  slipway node remove w-3 --no-apply`,
	})
}

func newNodeLost(a *app) *cobra.Command {
	return nodeCommand(a, config.StateLost, &cobra.Command{
		Use:   "lost NAME",
		Short: "Remove a node whose host does not exist any more",
		Long: `Set "state: lost" for a host in the inventory, show the change, ask for confirmation, and
apply the inventory: its etcd member is removed if it is a control plane, and its Node is
deleted. slipway does not log in to the host.

A host whose machine lives is refused: its node is ready, or SSH, kubelet, etcd or its API
server answers. Power the machine off first, or use "slipway node remove". A control plane
is refused if etcd has no quorum, or if an even number of control planes would be left. To
replace the host, add another one with another name to the inventory first: one apply does
both.

With -o json, standard output has the events of the apply, and nothing else.`,
		Example: `  slipway node lost cp-2
  slipway node lost cp-2 --yes`,
	})
}

func nodeCommand(a *app, state string, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = a.completeNodes
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.setState(cmd.Context(), args[0], state)
	}
	editFlags(cmd)
	cmd.Flags().Lookup("timeout").Usage = "Time to wait for each of: evictions, nodes and addons that become ready."
	cmd.Flags().BoolP("yes", "y", false, "Confirm the change.")
	return cmd
}

func (a *app) completeNodes(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cluster, _, err := a.inventory()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return cluster.Names(), cobra.ShellCompDirectiveNoFileComp
}

// setState sets the state of a host in the inventory after confirmation, and applies the
// inventory.
func (a *app) setState(ctx context.Context, name, state string) error {
	cluster, path, err := a.inventory()
	if err != nil {
		return err
	}
	if err := (workflow.Selection{Hosts: []string{name}}).Check(workflow.Workflow{}, cluster.Names()); err != nil {
		return err
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	after, err := config.SetHostState(before, name, state)
	if err != nil {
		return err
	}
	if _, err := config.Parse(path, after); err != nil {
		return err
	}
	if change := diff.Text(before, after); change != "" {
		fmt.Fprintf(a.err, "%s:\n%s\n", path, strings.TrimRight(change, "\n"))
		if err := a.confirm(fmt.Sprintf("Remove node %s from cluster %q?", name, cluster.Metadata.Name)); err != nil {
			return err
		}
		if err := replaceFile(path, after); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "%s updated\n", path)
	} else {
		fmt.Fprintf(a.err, "host %s is already %s in the inventory\n", name, state)
	}
	if a.settings.GetBool("no-apply") {
		fmt.Fprintln(a.err, "the cluster is unchanged; run `slipway apply` to update it")
		return nil
	}
	return a.apply(ctx, workflow.Selection{}, false)
}

// confirm asks a question, unless --yes answers it.
func (a *app) confirm(question string) error {
	if a.settings.GetBool("yes") {
		return nil
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(a.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	fmt.Fprintln(a.err)
	return &usageError{workflow.WithHint(errors.New("not confirmed: nothing has been changed"), "rerun with --yes to confirm")}
}

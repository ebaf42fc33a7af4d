package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/diff"
	"slipway.io/slipway/provision/workflow"
)

func newNode(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "node",
		Short: "Drain nodes for maintenance, or remove them from the cluster",
		Long: `Drain nodes for maintenance, or remove them from the cluster. "slipway node remove" and
"slipway node lost" set the state of hosts in the inventory, keep the rest of the file as
it is, and then apply the inventory. "slipway node drain" and "slipway node uncordon" do
not change the inventory.

"remove" needs SSH access to the host. Use "lost" for a host that does not exist any more.
To add a node, add its host to the inventory and run "slipway apply".`,
		Example: `  slipway node drain w-1
  slipway node uncordon w-1
  slipway node remove w-3
  slipway node lost cp-2`,
	}, newNodeDrain(a), newNodeUncordon(a), newNodeRemove(a), newNodeLost(a))
}

func newNodeRemove(a *app) *cobra.Command {
	return nodeCommand(a, config.StateAbsent, &cobra.Command{
		Use:   "remove NAME...",
		Short: "Drain nodes, remove them from the cluster and reset their hosts",
		Long: `Set "state: absent" for hosts in the inventory, show the change, ask for confirmation, and
apply the inventory: the node is drained, its etcd member is removed if it is a control
plane, slipway undoes everything that it did on the host, and deletes the Node. Data on
the host is lost.

PodDisruptionBudgets are respected: slipway waits until they allow each eviction, or
until --timeout. A control plane is refused if etcd would lose its quorum. An even number
of control planes that stay is a warning: name two of three to keep one.

With -o json, standard output has the events of the apply, and nothing else.`,
		Example: `  slipway node remove w-3
  slipway node remove cp-2 cp-3
  slipway node remove w-3 --timeout 15m
  slipway node remove w-3 --yes -o json
  slipway node remove w-3 --no-apply`,
	})
}

func newNodeLost(a *app) *cobra.Command {
	return nodeCommand(a, config.StateLost, &cobra.Command{
		Use:   "lost NAME...",
		Short: "Remove nodes whose hosts do not exist any more",
		Long: `Set "state: lost" for hosts in the inventory, show the change, ask for confirmation, and
apply the inventory: the etcd member is removed if the host is a control plane, and the
Node is deleted. slipway does not log in to the host.

A host whose machine lives is refused: its node is ready, or SSH, kubelet, etcd or its API
server answers. Power the machine off first, or use "slipway node remove". A control plane
is refused if etcd has no quorum. Two control planes that are left of three tolerate no
further failure. To replace the host in the same apply, add another one with another name
to the inventory first.

With -o json, standard output has the events of the apply, and nothing else.`,
		Example: `  slipway node lost cp-2
  slipway node lost cp-2 --yes`,
	})
}

func nodeCommand(a *app, state string, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.ValidArgsFunction = a.completeNodes
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.setState(cmd.Context(), args, state)
	}
	editFlags(cmd)
	cmd.Flags().Lookup("timeout").Usage = "Time to wait for each of: evictions, nodes and addons that become ready."
	cmd.Flags().BoolP("yes", "y", false, "Confirm the change.")
	return cmd
}

func (a *app) completeNodes(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	_, before, err := a.inventoryText()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, _ := config.HostNames(before)
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
}

// inventoryText returns the text of the inventory. Its content may be invalid, such as an
// even number of control planes, from which one leaves: what the edit results in is
// validated.
func (a *app) inventoryText() (path string, text []byte, err error) {
	_, path, err = a.inventory()
	var invalid *config.Invalid
	if err != nil && !errors.As(err, &invalid) {
		return "", nil, err
	}
	text, err = os.ReadFile(path)
	return path, text, err
}

// setState sets the state of hosts in the inventory after confirmation, and applies the
// inventory.
func (a *app) setState(ctx context.Context, names []string, state string) error {
	path, before, err := a.inventoryText()
	if err != nil {
		return err
	}
	cluster, after, err := withState(path, before, names, state)
	if err != nil {
		return err
	}
	hosts := "node " + strings.Join(names, ", ")
	if len(names) > 1 {
		hosts = "nodes " + strings.Join(names, ", ")
	}
	if change := diff.Text(before, after); change != "" {
		fmt.Fprintf(a.err, "%s:\n%s\n", path, strings.TrimRight(change, "\n"))
		if warning := cluster.EvenControlPlanes(); warning != "" {
			fmt.Fprintf(a.err, "warning: %s\n", warning)
		}
		if err := a.confirm(fmt.Sprintf("Remove %s from cluster %q?", hosts, cluster.Metadata.Name)); err != nil {
			return err
		}
		if err := replaceFile(path, after); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "%s updated\n", path)
	} else {
		fmt.Fprintf(a.err, "%s: already %s in the inventory\n", strings.Join(names, ", "), state)
	}
	if a.settings.GetBool("no-apply") {
		fmt.Fprintln(a.err, "the cluster is unchanged; run `slipway apply` to update it")
		return nil
	}
	return a.apply(ctx, workflow.Selection{}, false)
}

// withState returns an inventory in which hosts have a state, and its text.
func withState(path string, before []byte, names []string, state string) (*config.Cluster, []byte, error) {
	known, err := config.HostNames(before)
	if err != nil {
		if _, invalid := config.Parse(path, before); invalid != nil {
			err = invalid // it says where
		}
		return nil, nil, err
	}
	if err := (workflow.Selection{Hosts: names}).Check(workflow.Workflow{}, known); err != nil {
		return nil, nil, err
	}
	after := before
	for _, name := range names {
		if after, err = config.SetHostState(after, name, state); err != nil {
			return nil, nil, err
		}
	}
	cluster, err := config.Parse(path, after)
	return cluster, after, err
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

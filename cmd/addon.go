package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/addons"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newAddon(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "addon",
		Short: "List, install and remove addons: storage, ingress, load balancer and more",
		Long: `List, install and remove addons. "slipway addon enable" and "slipway addon disable"
change the section "addons" of the inventory, keep the rest of the file as it is, and
then apply the inventory.`,
		Example: `  slipway addon list
  slipway addon enable traefik
  slipway addon enable metallb --addresses 192.0.2.240-192.0.2.250
  slipway addon status
  slipway addon disable traefik`,
	}, newAddonList(a), newAddonEnable(a), newAddonDisable(a), newAddonStatus(a))
}

// addonInfo is an addon as `addon list -o json` shows it.
type addonInfo struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Title   string `json:"title"`
	Why     string `json:"why,omitempty"`
	Notice  string `json:"notice,omitempty"`
	// Listed: the inventory lists it.
	Listed bool `json:"listed"`
}

func newAddonList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the known addons and those of the inventory",
		Example: "  slipway addon list\n  slipway addon list -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cluster, _, err := a.inventory()
			if errors.Is(err, os.ErrNotExist) {
				cluster, err = &config.Cluster{}, nil // the known addons need no inventory
			}
			if err != nil {
				return err
			}
			infos, err := addonInfos(cluster)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(infos)
			}
			var rows []report.Row
			for _, i := range infos {
				listed := ""
				if i.Listed {
					listed = "yes"
				}
				rows = append(rows, report.Row{Cells: []string{i.Name, i.Version, listed, i.Title}})
			}
			return report.Table(a.out, []string{"ADDON", "VERSION", "LISTED", "DESCRIPTION"}, rows)
		},
	}
	catalogueFlag(cmd)
	return cmd
}

func addonInfos(cluster *config.Cluster) ([]addonInfo, error) {
	catalogue, err := bundle.OpenCatalogue(cluster.Artifacts.Catalogue)
	if err != nil {
		return nil, err
	}
	var infos []addonInfo
	for _, known := range addons.Known() {
		catalogued, err := catalogue.Addon(known.Name)
		if err != nil {
			return nil, err
		}
		_, listed := cluster.Addon(known.Name)
		infos = append(infos, addonInfo{
			Name: known.Name, Version: catalogued.Version, Title: known.Title, Why: known.Why, Notice: known.Notice, Listed: listed,
		})
	}
	for _, custom := range cluster.CustomAddons() {
		infos = append(infos, addonInfo{Name: custom.Name, Title: "custom addon", Listed: true})
	}
	return infos, nil
}

func newAddonEnable(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable NAME",
		Short: "Add an addon to the inventory and install it",
		Long: `Add an addon to the inventory, and apply the inventory. With --no-apply, only the file
changes. "slipway addon list" lists the addons.`,
		Example: `  slipway addon enable traefik
  slipway addon enable metallb --addresses 192.0.2.240-192.0.2.250
  slipway addon enable longhorn --no-apply`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeAddons,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted := config.Addon{Name: args[0], Addresses: a.list("addresses")}
			if !wanted.Known() {
				return &usageError{workflow.WithHint(
					fmt.Errorf("unknown addon %q: must be one of %s", wanted.Name, strings.Join(config.KnownAddons(), ", ")),
					"to install a custom addon, add it to the inventory and run `slipway apply`")}
			}
			return a.editAddons(cmd.Context(), func(cluster *config.Cluster, text []byte) ([]byte, error) {
				if _, listed := cluster.Addon(wanted.Name); listed {
					fmt.Fprintf(a.err, "addon %q is already in the inventory\n", wanted.Name)
					return text, nil
				}
				return config.AddAddon(text, wanted)
			})
		},
	}
	editFlags(cmd)
	cmd.Flags().StringSlice("addresses", nil, "Addresses that metallb assigns to Services: ranges, CIDRs or single addresses. Required for metallb.")
	return cmd
}

func newAddonDisable(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable NAME",
		Short: "Remove an addon from the inventory and from the cluster",
		Long: `Remove an addon from the inventory, and apply the inventory, which deletes the addon's
objects from the cluster. Apply refuses to delete an addon that is in use, such as one
with persistent volumes.`,
		Example: "  slipway addon disable traefik\n  slipway addon disable longhorn --no-apply",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			cluster, _, err := a.inventory()
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, listed := range cluster.Addons {
				names = append(names, listed.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editAddons(cmd.Context(), func(cluster *config.Cluster, text []byte) ([]byte, error) {
				if _, listed := cluster.Addon(args[0]); !listed {
					return nil, &usageError{fmt.Errorf("addon %q is not in the inventory", args[0])}
				}
				return config.DropAddon(text, args[0])
			})
		},
	}
	editFlags(cmd)
	return cmd
}

func completeAddons(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return config.KnownAddons(), cobra.ShellCompDirectiveNoFileComp
}

func editFlags(cmd *cobra.Command) {
	connectionFlags(cmd)
	catalogueFlag(cmd)
	lockFlags(cmd)
	flags := cmd.Flags()
	flags.Bool("no-apply", false, "Change the inventory only.")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	flags.Duration("timeout", 5*time.Minute, "Time to wait for nodes, and for each addon, to become ready.")
}

// editAddons edits the inventory, validates the result, and applies it.
func (a *app) editAddons(ctx context.Context, edit func(*config.Cluster, []byte) ([]byte, error)) error {
	cluster, path, err := a.inventory()
	if err != nil {
		return err
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	after, err := edit(cluster, before)
	if err != nil {
		return err
	}
	if _, err := config.Parse(path, after); err != nil {
		return err
	}
	if !slices.Equal(before, after) {
		if err := replaceFile(path, after); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "%s updated\n", path)
	}
	if a.settings.GetBool("no-apply") {
		fmt.Fprintln(a.err, "the cluster is unchanged; run `slipway apply` to update it")
		return nil
	}
	return a.apply(ctx, workflow.Selection{}, false)
}

// replaceFile replaces a file of the user and keeps its mode.
func replaceFile(path string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return localhost.WriteFile(path, content, info.Mode().Perm())
}

func newAddonStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show the state of the addons",
		Long: `Show which addons are installed, and whether they are ready. The exit code is 6 if an
addon of the inventory is not ready.`,
		Example:           "  slipway addon status\n  slipway addon status metallb -o json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeAddons,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			return a.query(cmd.Context(), s, phases.AddonStatus(strings.Join(args, ""), a.showAddons))
		},
	}
	connectionFlags(cmd)
	return cmd
}

func (a *app) showAddons(all []addons.State) error {
	var err error
	var rows []report.Row
	for _, s := range all {
		row := report.Row{Status: report.StatusOK, Cells: []string{s.Name, fmt.Sprint(s.Objects), s.Seen}}
		switch {
		case s.Listed && !s.Ready:
			row.Status = report.StatusFailed
			err = reported{errInvalidCluster}
		case !s.Listed:
			row.Status = report.StatusWarning
			row.Cells[2] = strings.TrimSpace("not in the inventory: `slipway apply` removes it. " + s.Seen)
		}
		rows = append(rows, row)
	}
	if a.json() {
		return errors.Join(a.printJSON(all), err)
	}
	return errors.Join(report.Table(a.out, []string{"ADDON", "OBJECTS", "STATE"}, rows), err)
}

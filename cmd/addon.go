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
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newAddon(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "addon",
		Short: "List, install and remove what runs on the cluster: storage, ingress, load balancer, …",
		Long: `Addons are what the inventory lists in its section addons. enable and disable change
that section, and keep the rest of the file as it is; then they apply it.`,
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
	// Listed: the inventory names it.
	Listed bool `json:"listed"`
}

func newAddonList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the addons that slipway knows, and the inventory's own",
		Example: "  slipway addon list\n  slipway addon list -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			cluster, _, err := a.inventory()
			if errors.Is(err, os.ErrNotExist) {
				cluster, err = &config.Cluster{}, nil // it is no less of a list without one
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
			return report.Table(a.out, []string{"ADDON", "VERSION", "LISTED", "WHAT IT DOES"}, rows)
		},
	}
}

func addonInfos(cluster *config.Cluster) ([]addonInfo, error) {
	catalogue, err := bundle.LoadCatalogue()
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
	for _, own := range cluster.OwnAddons() {
		infos = append(infos, addonInfo{Name: own.Name, Title: "your own", Listed: true})
	}
	return infos, nil
}

func newAddonEnable(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable NAME",
		Short: "Write an addon into the inventory, and apply it",
		Example: `  slipway addon enable traefik
  slipway addon enable metallb --addresses 192.0.2.240-192.0.2.250
  slipway addon enable longhorn --no-apply`,
		Args:              oneArg("the name of the addon"),
		ValidArgsFunction: completeAddons,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted := config.Addon{Name: args[0], Addresses: a.list("addresses")}
			if !wanted.Known() {
				return &usageError{fmt.Errorf("%q is no addon that slipway knows: choose from %s; your own are written into the inventory by hand",
					wanted.Name, strings.Join(config.KnownAddons(), ", "))}
			}
			return a.editAddons(cmd.Context(), func(cluster *config.Cluster, text []byte) ([]byte, error) {
				if _, listed := cluster.Addon(wanted.Name); listed {
					fmt.Fprintf(a.err, "the inventory names %s already\n", wanted.Name)
					return text, nil
				}
				return config.AddAddon(text, wanted)
			})
		},
	}
	editFlags(cmd)
	cmd.Flags().StringSlice("addresses", nil, "those that metallb gives to Services: a range, a CIDR, an address")
	return cmd
}

func newAddonDisable(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable NAME",
		Short: "Take an addon out of the inventory, and remove it from the cluster",
		Long: `Take an addon out of the inventory, and remove from the cluster what slipway made for
it. An addon that holds data, such as volumes of claims, is not removed.`,
		Example: "  slipway addon disable traefik",
		Args:    oneArg("the name of the addon"),
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
					return nil, &usageError{fmt.Errorf("the inventory names no addon %s", args[0])}
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
	flags := cmd.Flags()
	flags.Bool("no-apply", false, "change the inventory only")
	flags.Int("parallel", 20, "how many steps may be under way at once, over all hosts")
	flags.Duration("timeout", 5*time.Minute, "how long nodes, and each addon, may take to be ready")
}

// editAddons changes the inventory, if what comes of it is one, and applies
// it.
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
		fmt.Fprintf(a.err, "changed %s\n", path)
	}
	if a.settings.GetBool("no-apply") {
		fmt.Fprintln(a.err, "the cluster is as it was: slipway apply brings it there")
		return nil
	}
	return a.run(ctx, phases.Apply(), workflow.Selection{}, false)
}

// replaceFile writes a file of the user's so that there is always a whole one.
func replaceFile(path string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".slipway-new", content, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Rename(path+".slipway-new", path)
}

func newAddonStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show which addons the cluster has, and whether they are ready",
		Long: `Show which addons the cluster has, and whether they are ready. The exit code is 6 if
one that the inventory names is not.`,
		Example: "  slipway addon status\n  slipway addon status metallb -o json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{fmt.Errorf("%s takes one argument at most, the name of an addon", cmd.CommandPath())}
			}
			return nil
		},
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
			row.Cells[2] = strings.TrimSpace("the inventory does not name it; slipway apply removes it. " + s.Seen)
		}
		rows = append(rows, row)
	}
	if a.json() {
		return errors.Join(a.printJSON(all), err)
	}
	return errors.Join(report.Table(a.out, []string{"ADDON", "OBJECTS", "SEEN"}, rows), err)
}

// Package cmd is the command line: it parses flags, environment and settings,
// runs the workflows of package phases, and prints their results.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/workflow"
)

// app is shared by all commands.
type app struct {
	in       io.Reader
	out, err io.Writer
	settings *viper.Viper
	// localhost is a fake in tests; nil: this computer.
	localhost localhost.System
}

// Main runs slipway and returns its exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := interruptible()
	defer stop()
	root := newRoot(&app{in: in, out: out, err: errOut, settings: viper.New()})
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	explain(errOut, err)
	return exitCode(err)
}

// interruptible returns a context that the first Ctrl-C cancels, for a clean
// stop. A second Ctrl-C kills the program.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "slipway",
		Short: "Install and operate Kubernetes clusters over SSH",
		Long: `slipway installs a Kubernetes cluster with kubeadm on hosts that you can reach with
SSH, validates it, and can undo everything it did on the hosts.

slipway reads each setting from its flag, or else from the environment (SLIPWAY_INVENTORY
for --inventory), or else from ~/.config/slipway/config.yaml.`,
		Example: `  slipway init --host cp-1=192.0.2.10,control-plane --host w-1=192.0.2.11 > inventory.yaml
  slipway plan
  slipway apply
  slipway validate
  slipway kubeconfig --merge`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.loadSettings(cmd)
		},
	}
	flags := root.PersistentFlags()
	flags.StringP("inventory", "i", "inventory.yaml", "Path to the inventory file.")
	flags.StringP("output", "o", "text", "Output format: text or json. Some commands have more.")
	flags.BoolP("verbose", "v", false, "Show every change and the output of long-running commands.")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{workflow.WithHint(err, usageHint(cmd))}
	})
	group(root)
	root.AddGroup(
		&cobra.Group{ID: "cluster", Title: "Cluster Commands:"},
		&cobra.Group{ID: "prepare", Title: "Preparation Commands:"},
	)
	for _, c := range []*cobra.Command{
		newApply(a), newPlan(a), newStatus(a), newValidate(a), newAddon(a), newNode(a), newUpgrade(a), newBackup(a), newConsole(a), newReset(a), newKubeconfig(a), newPhase(a),
	} {
		c.GroupID = "cluster"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newInit(a), newSchema(a), newPreflight(a), newExplain(a), newBundle(a), newLab(a)} {
		c.GroupID = "prepare"
		root.AddCommand(c)
	}
	root.AddCommand(newVersion(a))
	markUsageErrors(root)
	return root
}

// group makes a command of subcommands. Alone, it prints its help.
func group(cmd *cobra.Command, members ...*cobra.Command) *cobra.Command {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = unknownCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(members...)
	return cmd
}

// unknownCommand is what cobra says of an unknown subcommand of the root, for
// all groups.
func unknownCommand(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%w\n\nDid you mean this?\n\t%s", err, strings.Join(near, "\n\t"))
	}
	return err
}

// markUsageErrors makes the argument errors of all commands usage errors.
func markUsageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil {
				return nil
			}
			if workflow.Hint(err) == "" {
				err = workflow.WithHint(err, usageHint(cmd))
			}
			return &usageError{err}
		}
	}
	for _, c := range cmd.Commands() {
		markUsageErrors(c)
	}
}

func usageHint(cmd *cobra.Command) string {
	return fmt.Sprintf("run `%s --help` for usage", cmd.CommandPath())
}

// atLeastOne is cobra.MinimumNArgs(1) with a hint that says where names are listed.
func atLeastOne(hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return workflow.WithHint(cobra.MinimumNArgs(1)(cmd, args), hint)
	}
}

// loadSettings reads flags that were not given from the environment and the
// user's settings file.
func (a *app) loadSettings(cmd *cobra.Command) error {
	v := a.settings
	v.SetEnvPrefix("SLIPWAY")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	if dir, err := os.UserConfigDir(); err == nil {
		v.SetConfigFile(dir + "/slipway/config.yaml")
		if err := v.ReadInConfig(); err != nil && !errors.Is(err, os.ErrNotExist) {
			return &usageError{fmt.Errorf("settings %s: %w", v.ConfigFileUsed(), err)}
		}
	}
	if err := v.BindPFlags(cmd.Flags()); err != nil {
		return err
	}
	return checkFormat(cmd, v.GetString("output"))
}

// list reads a setting with several values, which are separated by commas also
// in the environment.
func (a *app) list(name string) []string {
	var values []string
	for _, value := range a.settings.GetStringSlice(name) {
		values = append(values, strings.Split(value, ",")...)
	}
	return values
}

func (a *app) json() bool { return a.settings.GetString("output") == "json" }

// usageError is an error in how slipway was called.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// Package cmd is the command line: flags, environment and settings in, exit
// codes and hints out. What slipway does is in package phases.
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
)

// app is what every command shares.
type app struct {
	in       io.Reader
	out, err io.Writer
	settings *viper.Viper
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

// interruptible is a context that the first Ctrl-C ends, so that everything
// stops cleanly; a second one ends the program at once.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "slipway",
		Short: "Turn machines that answer SSH into a working, validated Kubernetes cluster",
		Long: `slipway turns machines that answer SSH into a working Kubernetes cluster with
kubeadm, proves that it works, and takes it down again without a trace.

Settings come from flags, then from the environment (SLIPWAY_INVENTORY for
--inventory, and so on), then from ~/.config/slipway/config.yaml.`,
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
	flags.StringP("inventory", "i", "inventory.yaml", "the inventory file")
	flags.StringP("output", "o", "text", "output format: text or json")
	flags.BoolP("verbose", "v", false, "show each change and each line that long steps print")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	group(root)
	root.AddGroup(
		&cobra.Group{ID: "cluster", Title: "Clusters:"},
		&cobra.Group{ID: "prepare", Title: "Preparation:"},
	)
	for _, c := range []*cobra.Command{
		newApply(a), newPlan(a), newValidate(a), newAddon(a), newConsole(a), newReset(a), newKubeconfig(a), newPhase(a),
	} {
		c.GroupID = "cluster"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newInit(a), newSchema(a), newPreflight(a), newExplain(a), newBundle(a), newLab(a)} {
		c.GroupID = "prepare"
		root.AddCommand(c)
	}
	root.AddCommand(newVersion(a))
	return root
}

// group makes a command that only holds others: alone it prints its help, and a
// word that is none of them is a mistake.
func group(cmd *cobra.Command, members ...*cobra.Command) *cobra.Command {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		text := fmt.Sprintf("%q is no command of %s; ", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "did you mean " + strings.Join(near, " or ") + "?"
		} else {
			text += "see `" + cmd.CommandPath() + " --help`"
		}
		return &usageError{errors.New(text)}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(members...)
	return cmd
}

// loadSettings fills flags that were not given from the environment and the
// user's settings file.
func (a *app) loadSettings(cmd *cobra.Command) error {
	v := a.settings
	v.SetEnvPrefix("SLIPWAY")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	if dir, err := os.UserConfigDir(); err == nil {
		v.SetConfigFile(dir + "/slipway/config.yaml")
		if err := v.ReadInConfig(); err != nil && !errors.Is(err, os.ErrNotExist) {
			return &usageError{fmt.Errorf("settings: %w", err)}
		}
	}
	if err := v.BindPFlags(cmd.Flags()); err != nil {
		return err
	}
	return checkFormat(cmd, v.GetString("output"))
}

// list is a setting of several values; in the environment there are commas
// between them, as on the command line.
func (a *app) list(name string) []string {
	var values []string
	for _, value := range a.settings.GetStringSlice(name) {
		values = append(values, strings.Split(value, ",")...)
	}
	return values
}

func (a *app) json() bool { return a.settings.GetString("output") == "json" }

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// noArgs is cobra.NoArgs with a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%q: %s takes no arguments", args[0], cmd.CommandPath())}
	}
	return nil
}

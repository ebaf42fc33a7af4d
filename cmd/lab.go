package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newLab(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Make machines for the purpose, with a cluster on them",
		Long: `A lab is a few machines on this computer: systemd-nspawn machine containers with a
real systemd and a real sshd, on a network that leads nowhere else. It needs Linux
and root.`,
		Example: "  slipway lab up\n  slipway lab ssh cp1\n  slipway lab down",
	}
	cmd.PersistentFlags().String("name", "lab", "the lab's name")
	return group(cmd, newLabUp(a), newLabDown(a), newLabStatus(a), newLabSSH(a), newLabHalt(a), newLabResume(a))
}

func (a *app) containers() lab.Containers {
	return lab.Containers{
		InstallMissing: a.settings.GetBool("install-missing"),
		Progress: func(e lab.Event) {
			fmt.Fprintf(a.err, "  %-8s %s\n", e.Machine, e.Message)
		},
	}
}

func newLabUp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the machines, install the cluster, validate it, merge the kubeconfig",
		Long: `Make the machines of the lab, install a cluster on them, validate it and merge its
kubeconfig into yours. What is there already is left alone, so that it can be run
again after it failed.`,
		Example: `  slipway lab up
  slipway lab up --workers 1 --bundle ./bundle
  slipway lab up --addons local-path,traefik,metallb,metrics-server
  slipway lab up --machines-only`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.labUp(cmd.Context()) },
	}
	connectionFlags(cmd)
	flags := cmd.Flags()
	flags.Int("control-planes", 1, "how many control planes")
	flags.Int("workers", 2, "how many workers")
	flags.String("bundle", "", "the bundle to install from (default: made online)")
	flags.StringSlice("addons", nil, "addons to install, without options (default: those that the lab has): "+strings.Join(config.KnownAddons(), ", "))
	flags.Bool("machines-only", false, "make the machines and the inventory, and install nothing")
	flags.Bool("install-missing", false, "install the Debian packages that the lab needs on this computer")
	flags.Bool("force", false, "replace another cluster's entry of the same name in the kubeconfig")
	flags.Int("parallel", 20, "how many steps may be under way at once, over all hosts")
	return cmd
}

func (a *app) labUp(ctx context.Context) error {
	spec := lab.Spec{
		Name:          a.settings.GetString("name"),
		ControlPlanes: a.settings.GetInt("control-planes"), Workers: a.settings.GetInt("workers"),
	}
	if a.settings.IsSet("addons") {
		spec.Addons = append([]string{}, a.list("addons")...)
		for _, name := range spec.Addons {
			if !(config.Addon{Name: name}).Known() {
				return &usageError{fmt.Errorf("--addons %s: choose from %s", name, strings.Join(config.KnownAddons(), ", "))}
			}
		}
	}
	if path := a.settings.GetString("bundle"); path != "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		spec.Bundle = abs
	}
	made, err := a.containers().Up(ctx, spec)
	if err != nil {
		return workflow.WithHint(err, "run it again once that is mended: it goes on from here; `slipway lab down` removes everything")
	}
	a.settings.Set("inventory", made.InventoryFile())
	if a.settings.GetBool("machines-only") {
		fmt.Fprintf(a.out, "%s\n", made.InventoryFile())
		return nil
	}
	return a.labInstall(ctx)
}

// labInstall installs and validates a cluster on the lab's machines.
func (a *app) labInstall(ctx context.Context) error {
	if err := a.run(ctx, phases.Apply(), workflow.Selection{}, false); err != nil {
		return err
	}
	cluster, path, err := a.inventory()
	if err != nil {
		return err
	}
	if err := a.validate(ctx, cluster, path); err != nil {
		return err
	}
	conf, err := a.adminConf(ctx, cluster, path)
	if err != nil {
		return err
	}
	if err := a.mergeKubeconfig(cluster, conf); err != nil {
		return err
	}
	name := a.settings.GetString("name")
	fmt.Fprintf(a.err, `
The cluster is up. Look at it with
  kubectl --context %s get nodes
  slipway lab ssh --name %s cp1
Take it down with
  slipway lab down --name %s
Its inventory: %s
`, cluster.Metadata.Name, name, name, path)
	return nil
}

func newLabDown(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Power the machines off and remove all that belongs to the lab, its kubeconfig entry too",
		Example: "  slipway lab down",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name := a.settings.GetString("name")
			_, err := a.containers().Status(cmd.Context(), name)
			there := !errors.Is(err, lab.ErrNotFound)
			if err := a.containers().Down(cmd.Context(), name); err != nil {
				return err
			}
			if !there {
				return nil // a cluster of that name is not the lab's
			}
			return a.forgetKubeconfig(name)
		},
	}
}

func newLabHalt(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "halt",
		Short:   "Power the machines off and keep them",
		Example: "  slipway lab halt && slipway lab resume",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.containers().Halt(cmd.Context(), a.settings.GetString("name"))
			return err
		},
	}
}

func newLabResume(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "resume",
		Short:   "Boot the machines of a lab that was halted",
		Example: "  slipway lab resume",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.containers().Boot(cmd.Context(), a.settings.GetString("name"))
			return err
		},
	}
}

func newLabStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show the machines of the lab",
		Example: "  slipway lab status -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.containers().Status(cmd.Context(), a.settings.GetString("name"))
			if err != nil {
				return workflow.WithHint(err, "make one with `slipway lab up`")
			}
			if a.json() {
				return a.printJSON(labInfo(l))
			}
			var rows []report.Row
			for _, m := range l.Machines {
				var roles []string
				for _, r := range m.Roles {
					roles = append(roles, string(r))
				}
				rows = append(rows, report.Row{Cells: []string{m.Name, strings.Join(roles, ", "), m.Address.String(), string(m.State)}})
			}
			return report.Table(a.out, []string{"MACHINE", "ROLES", "ADDRESS", "STATE"}, rows)
		},
	}
}

// labStatus is a lab as `lab status -o json` shows it.
type labStatus struct {
	Name      string          `json:"name"`
	Inventory string          `json:"inventory"`
	Subnet    string          `json:"subnet"`
	Machines  []machineStatus `json:"machines"`
}

type machineStatus struct {
	Name    string        `json:"name"`
	Roles   []config.Role `json:"roles"`
	Address string        `json:"address"`
	State   string        `json:"state"`
}

func labInfo(l *lab.Lab) labStatus {
	status := labStatus{Name: l.Name, Inventory: l.InventoryFile(), Subnet: l.Subnet.String(), Machines: []machineStatus{}}
	for _, m := range l.Machines {
		status.Machines = append(status.Machines, machineStatus{m.Name, m.Roles, m.Address.String(), string(m.State)})
	}
	return status
}

func newLabSSH(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "ssh MACHINE [COMMAND...]",
		Short:   "Log in to a machine of the lab, or run a command there",
		Example: "  slipway lab ssh cp1\n  slipway lab ssh w1 -- sudo journalctl -u kubelet",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("which machine? see `slipway lab status`")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.containers().Status(cmd.Context(), a.settings.GetString("name"))
			if err != nil {
				return workflow.WithHint(err, "make one with `slipway lab up`")
			}
			argv, err := l.SSHArgv(args[0], args[1:]...)
			if err != nil {
				return err
			}
			child := exec.CommandContext(cmd.Context(), argv[0], argv[1:]...)
			child.Stdin, child.Stdout, child.Stderr = os.Stdin, a.out, a.err
			err = child.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() > 0 {
				return reported{childExit(exit.ExitCode())} // what ran there has said why
			}
			return err
		},
	}
}

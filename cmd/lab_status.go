package cmd

import (
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/report"
)

func newLabStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show the machines of the lab and their state",
		Example: "  slipway lab status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, provider, err := a.labOf(cmd.Context())
			if err != nil {
				return err
			}
			l, err := provider.Status(cmd.Context(), a.labName())
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(labInfo(l))
			}
			var rows []report.Row
			for _, m := range l.Machines {
				rows = append(rows, report.Row{Cells: []string{m.Name, strings.Join(roles(m), ", "), m.Address.String(), string(m.State)}})
			}
			return report.Table(a.out, []string{"MACHINE", "ROLES", "ADDRESS", "STATE"}, rows)
		},
	}
}

// labStatus is a lab as `lab status -o json` shows it.
type labStatus struct {
	Name      string `json:"name"`
	Inventory string `json:"inventory"`
	Subnet    string `json:"subnet"`
	// Endpoint is the address that the control planes share; absent without --ha.
	Endpoint string          `json:"endpoint,omitempty"`
	Machines []machineStatus `json:"machines"`
}

type machineStatus struct {
	Name    string        `json:"name"`
	Roles   []config.Role `json:"roles"`
	Address string        `json:"address"`
	State   string        `json:"state"`
}

func labInfo(l *lab.Lab) labStatus {
	status := labStatus{Name: l.Name, Inventory: l.InventoryFile(), Subnet: l.Subnet.String(), Machines: []machineStatus{}}
	if l.Endpoint.IsValid() {
		status.Endpoint = l.Endpoint.String()
	}
	for _, m := range l.Machines {
		status.Machines = append(status.Machines, machineStatus{m.Name, m.Roles, m.Address.String(), string(m.State)})
	}
	return status
}

func newLabSSH(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh MACHINE [COMMAND...]",
		Short: "Log in to a machine of the lab, or run a command on it",
		Long: `Log in to a machine of the lab with ssh, or run a command on it. The exit code is that
of ssh. The user can run sudo without a password.`,
		Example:           "  slipway lab ssh cp1\n  slipway lab ssh w1 -- sudo journalctl -u kubelet",
		Args:              atLeastOne("run `slipway lab status` to list the machines"),
		ValidArgsFunction: completeMachine(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, _, err := a.labOf(cmd.Context())
			if err != nil {
				return err
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
				return reported{childExit(exit.ExitCode())} // the command printed its own error
			}
			return err
		},
	}
}

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/lab/container"
	"slipway.io/slipway/provision/lab/vagrant"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/workflow"
)

// The providers of labs.
const (
	providerVagrant   = "vagrant"
	providerContainer = "container"
)

func newLab(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Create disposable machines and a practice cluster",
		Long: `Create and manage labs. A lab is a set of disposable machines on this computer: virtual
machines of Vagrant with VirtualBox, libvirt, VMware or Parallels, or systemd-nspawn
containers, which need no hypervisor. Containers run systemd and sshd on an isolated
network, and require Linux and root.`,
		Example: "  slipway lab up\n  slipway lab ssh cp1\n  slipway lab down",
	}
	cmd.PersistentFlags().String("name", "lab", "Name of the lab.")
	return group(cmd, newLabUp(a), newLabDown(a), newLabStatus(a), newLabSSH(a), newLabHalt(a), newLabResume(a), newLabSnapshot(a),
		newLabServePackages())
}

// labName is the value of --name.
func (a *app) labName() string { return a.settings.GetString("name") }

// labProgress prints the progress on each machine.
func (a *app) labProgress(e lab.Event) { fmt.Fprintf(a.err, "  %-8s %s\n", e.Machine, e.Message) }

func (a *app) containers() container.Containers {
	return container.Containers{InstallMissing: a.settings.GetBool("install-missing"), Progress: a.labProgress}
}

// vagrant returns the provider with the settings of the command's flags.
func (a *app) vagrant() vagrant.Vagrant {
	return vagrant.Vagrant{
		Provider: a.settings.GetString("hypervisor"),
		Box:      a.settings.GetString("box"), BoxVersion: a.settings.GetString("box-version"),
		CPUs: a.settings.GetInt("cpus"), MemoryMiB: a.settings.GetInt("memory"),
		Progress: a.labProgress,
	}
}

// labOf finds the lab of --name and its provider. A lab that does not exist is
// lab.ErrNotFound.
func (a *app) labOf(ctx context.Context) (*lab.Lab, lab.Provider, error) {
	var provider lab.Provider = a.containers()
	if a.vagrant().Has(a.labName()) {
		provider = a.vagrant()
	}
	found, err := provider.Find(ctx, a.labName())
	if errors.Is(err, lab.ErrNotFound) {
		err = workflow.WithHint(err, "create it with `slipway lab up`")
	}
	return found, provider, err
}

// newLabProvider chooses the provider of a new lab, and returns the facts of this
// computer for a lab of Vagrant.
func (a *app) newLabProvider(ctx context.Context) (lab.Provider, *localhost.Facts, error) {
	asked, v := a.settings.GetString("provider"), a.vagrant()
	switch {
	case asked == providerContainer:
		return a.containers(), nil, nil
	case asked != "" && asked != providerVagrant:
		return nil, nil, unknownProvider(asked)
	}
	if v.Provider != "" {
		if err := vagrant.CheckProvider(v.Provider); err != nil {
			return nil, nil, &usageError{fmt.Errorf("--hypervisor: %w", err)}
		}
	}
	facts := localhost.ReadFacts(ctx, a.system())
	if asked == "" && v.Provider == "" && !facts.Vagrant() {
		return a.containers(), facts, nil
	}
	if err := a.requireProvider(facts, v.Provider, a.list("skip-checks")); err != nil {
		return nil, nil, err
	}
	v.Provider, v.Arch = cmp.Or(v.Provider, facts.Hypervisor()), facts.Arch
	v.Box = vagrant.BoxOf(cmp.Or(v.Box, vagrant.DefaultBox(v.Provider, v.Arch)))
	if err := vagrant.CheckBox(v.Box, v.Provider, v.Arch); err != nil {
		return nil, nil, &usageError{fmt.Errorf("--box: %w", err)}
	}
	return v, facts, nil
}

// system is this computer, or a fake in tests.
func (a *app) system() localhost.System {
	if a.localhost != nil {
		return a.localhost
	}
	return localhost.Current{}
}

func unknownProvider(name string) error {
	return &usageError{fmt.Errorf("--provider %q: must be %s or %s", name, providerVagrant, providerContainer)}
}

// completeMachine completes the name of one of the lab's machines.
func completeMachine(a *app) cobra.CompletionFunc {
	all := completeMachines(a)
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all(cmd, args, typed)
	}
}

// completeMachines completes names of the lab's machines, each of them once.
func completeMachines(a *app) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if a.loadSettings(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, _, err := a.labOf(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, m := range found.Machines {
			if slices.Contains(args, m.Name) {
				continue
			}
			names = append(names, m.Name+"\t"+strings.Join(roles(m), ", ")+" "+m.Address.String())
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// roles returns the roles of a machine as text.
func roles(m lab.Machine) []string {
	var texts []string
	for _, r := range m.Roles {
		texts = append(texts, string(r))
	}
	return texts
}

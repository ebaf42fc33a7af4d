package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
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
		Short: "Make machines for the purpose, with a cluster on them",
		Long: `A lab is a few machines on this computer. Vagrant makes virtual ones, with VirtualBox,
libvirt, VMware or Parallels. Without a hypervisor they are systemd-nspawn machine
containers, with a real systemd and a real sshd, on a network that leads nowhere else;
these need Linux and root.`,
		Example: "  slipway lab up\n  slipway lab ssh cp1\n  slipway lab down",
	}
	cmd.PersistentFlags().String("name", "lab", "the lab's name")
	return group(cmd, newLabUp(a), newLabDown(a), newLabStatus(a), newLabSSH(a), newLabHalt(a), newLabResume(a), newLabSnapshot(a))
}

// labName is the name of the lab that a command is about.
func (a *app) labName() string { return a.settings.GetString("name") }

// labProgress shows what happens while machines are made.
func (a *app) labProgress(e lab.Event) { fmt.Fprintf(a.err, "  %-8s %s\n", e.Machine, e.Message) }

func (a *app) containers() container.Containers {
	return container.Containers{InstallMissing: a.settings.GetBool("install-missing"), Progress: a.labProgress}
}

// vagrant has the settings of the flags, where the command has such flags.
func (a *app) vagrant() vagrant.Vagrant {
	return vagrant.Vagrant{
		Provider: a.settings.GetString("hypervisor"),
		Box:      a.settings.GetString("box"), BoxVersion: a.settings.GetString("box-version"),
		CPUs: a.settings.GetInt("cpus"), MemoryMiB: a.settings.GetInt("memory"),
		Progress: a.labProgress,
	}
}

// labOf is the lab of the name that was given, and who makes its machines. One
// that is not there is lab.ErrNotFound.
func (a *app) labOf(ctx context.Context) (*lab.Lab, lab.Provider, error) {
	var provider lab.Provider = a.containers()
	if a.vagrant().Has(a.labName()) {
		provider = a.vagrant()
	}
	found, err := provider.Find(ctx, a.labName())
	if errors.Is(err, lab.ErrNotFound) {
		err = workflow.WithHint(err, "make one with `slipway lab up`")
	}
	return found, provider, err
}

// newLabProvider is who shall make a lab that is not there yet, with the facts
// of this computer if they had to be asked for.
func (a *app) newLabProvider(ctx context.Context) (lab.Provider, *localhost.Facts, error) {
	asked, v := a.settings.GetString("provider"), a.vagrant()
	switch {
	case asked == providerContainer:
		return a.containers(), nil, nil
	case asked != "" && asked != providerVagrant:
		return nil, nil, &usageError{fmt.Errorf("--provider %q: use %s or %s", asked, providerVagrant, providerContainer)}
	case asked == providerVagrant && v.Provider != "":
		return v, nil, nil
	}
	facts := localhost.ReadFacts(ctx, localhost.Current{})
	if asked == "" && !facts.Vagrant() {
		return a.containers(), facts, nil
	}
	v.Provider = cmp.Or(v.Provider, facts.Hypervisor())
	return v, facts, nil
}

// labInstall installs and validates a cluster on the lab's machines.
func (a *app) labInstall(ctx context.Context, made *lab.Lab) error {
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
	option := ""
	if name := a.labName(); name != "lab" {
		option = " --name " + name
	}
	fmt.Fprintf(a.err, `
The cluster is up. Look at it with
  kubectl --context %[1]s get nodes
  slipway lab ssh%[2]s %[3]s
Pause it, or take it down with
  slipway lab halt%[2]s
  slipway lab down%[2]s
Its inventory: %[4]s
What to try: docs/tutorial.md
`, cluster.Metadata.Name, option, made.Machines[0].Name, path)
	return nil
}

// completeMachines completes the names of the lab's machines.
func completeMachines(a *app) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || a.loadSettings(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, _, err := a.labOf(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, m := range found.Machines {
			names = append(names, m.Name+"\t"+strings.Join(roles(m), ", ")+" "+m.Address.String())
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// roles are those of a machine, as text.
func roles(m lab.Machine) []string {
	var texts []string
	for _, r := range m.Roles {
		texts = append(texts, string(r))
	}
	return texts
}

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/machines"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/lab/vagrant"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

func newLabUp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Create the machines of a lab and install a cluster on them",
		Long: `Create the machines of a lab, install a cluster on them, validate it and merge its
kubeconfig into ~/.kube/config. Existing machines and settings are kept: rerun the
command to resume after a failure.

With --ha, the lab has three control planes that share an address with keepalived and
haproxy, and survives the loss of any machine. A lab keeps this setting.

Before it creates virtual machines, the command checks this computer like
"slipway preflight --local". Without Vagrant or a hypervisor, it prints the commands that
install them, and exits with 5. Containers need Linux and root.`,
		Example: `  slipway lab up
  slipway lab up --provider vagrant --box ubuntu-24.04 --memory 4096
  slipway lab up --provider vagrant --hypervisor libvirt --names classic
  slipway lab up --workers 1 --bundle ./bundle
  slipway lab up --addons local-path,traefik,metallb,metrics-server
  slipway lab up --overlay calico.yaml
  slipway lab up --ha
  slipway lab up --ha --workers 1 --machines-only
  slipway lab up --hosts-from inventory.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.labUp(cmd.Context()) },
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	lockFlags(cmd)
	flags := cmd.Flags()
	flags.String("provider", "", "Provider of the machines: vagrant or container. (default vagrant if a hypervisor is available)")
	flags.Int("control-planes", 1, "Number of control planes. (default 3 with --ha)")
	flags.Int("workers", 2, "Number of workers.")
	flags.Bool("ha", false, "Create a highly available cluster: its control planes share an address.")
	flags.String("names", "", "Naming of the machines: short (cp1, w1) or classic (kmaster, kworker1).")
	flags.String("bundle", "", "Path to the bundle to install from. (default downloaded)")
	flags.StringSlice("addons", nil, "Addons to install, without options: "+strings.Join(config.KnownAddons(), ", ")+". (default the lab's current ones)")
	flags.String("overlay", "", "Path to a file with inventory sections to merge into the lab's inventory. (default the lab's current one)")
	flags.Bool("machines-only", false, "Create the machines and the inventory, and install nothing.")
	flags.Bool("install-missing", false, "With containers, install the Debian packages that the lab needs on this computer.")
	flags.String("hypervisor", "", "With vagrant, hypervisor: "+strings.Join(vagrant.Providers(), ", ")+". (default the available one)")
	flags.String("box", "", "With vagrant, box: "+strings.Join(vagrant.Boxes(), ", ")+" or the name of any other. (default one that exists for the hypervisor)")
	flags.String("box-version", "", "With vagrant, version of the box. (default latest)")
	flags.Int("cpus", 0, "With vagrant, number of CPUs of each machine. (default 2)")
	flags.Int("memory", 0, "With vagrant, memory of each machine in MiB. (default 2048)")
	flags.String("range", "", "Network of the machines, an IPv4 /24. (default 192.168.56.0/24 with VirtualBox, 172.16.16.0/24 with other hypervisors, a free one with container)")
	flags.String("hosts-from", "", "Path to an inventory whose hosts the machines copy: names, roles and addresses. (default the lab's current machines)")
	flags.StringSlice("skip-checks", nil, "With vagrant, checks of this computer to skip.")
	flags.Bool("force", false, "Overwrite another cluster's entry of the same name in the kubeconfig.")
	flags.Duration("timeout", 5*time.Minute, "Time to wait for nodes, for each addon, and for the validation. Increase it on slow computers.")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	for flag, values := range map[string][]string{
		"provider": {providerVagrant, providerContainer}, "names": {string(lab.NamesShort), string(lab.NamesClassic)},
		"hypervisor": vagrant.Providers(), "box": vagrant.Boxes(), "addons": config.KnownAddons(),
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

func (a *app) labUp(ctx context.Context) error {
	found, provider, err := a.labOf(ctx)
	exists := err == nil
	if err != nil && !errors.Is(err, lab.ErrNotFound) {
		return err
	}
	spec, err := a.labSpec(found)
	if err != nil {
		return err
	}
	var local *preflight.LocalOptions
	if exists {
		err = a.sameProvider(provider)
	} else {
		provider, local, err = a.newLab(ctx, spec)
	}
	if err != nil {
		return err
	}
	var created *lab.Lab
	l := machines.Lab{Provider: provider, Spec: spec, Created: func(l *lab.Lab) { created = l }}
	if err := a.query(ctx, onLocalhost(), phases.LabMachines(l, local, a.refuse)); err != nil {
		return err
	}
	a.settings.Set("inventory", created.InventoryFile())
	if a.settings.GetBool("machines-only") {
		fmt.Fprintf(a.out, "%s\n", created.InventoryFile())
		return nil
	}
	return a.labInstall(ctx, created)
}

// labInstall installs and validates a cluster on the lab's machines, and merges
// its kubeconfig.
func (a *app) labInstall(ctx context.Context, l *lab.Lab) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	var found report.ValidationReport
	var conf []byte
	keep := func(c []byte) error { conf = c; return nil }
	options := validate.Options{Timeout: a.settings.GetDuration("timeout")}
	err = a.runOn(ctx, s, phases.LabCluster(options, &found, keep), workflow.Selection{}, false)
	if err := errors.Join(err, a.printValidation(&found)); err != nil {
		return err
	}
	name := s.cluster.Metadata.Name
	if err := a.mergeKubeconfig(name, conf); err != nil {
		return err
	}
	option := ""
	if name := a.labName(); name != "lab" {
		option = " --name " + name
	}
	fmt.Fprintf(a.err, `
The cluster is ready. Use it with
  kubectl --context %[1]s get nodes
  slipway lab ssh%[2]s %[3]s
Stop or delete it with
  slipway lab halt%[2]s
  slipway lab down%[2]s
Inventory: %[4]s
Next steps: docs/tutorial.md
`, name, option, l.Machines[0].Name, s.inventory)
	return nil
}

// sameProvider refuses to change the provider of a lab.
func (a *app) sameProvider(provider lab.Provider) error {
	has := providerContainer
	if _, ok := provider.(vagrant.Vagrant); ok {
		has = providerVagrant
	}
	if asked := a.settings.GetString("provider"); asked != "" && asked != has {
		return &usageError{workflow.WithHint(
			fmt.Errorf("--provider %s: lab %q uses %s", asked, a.labName(), has), "delete the lab with `slipway lab down`, or choose another --name")}
	}
	return nil
}

// labSpec reads the flags. Settings without a flag are those of the lab that
// exists, or nil.
func (a *app) labSpec(found *lab.Lab) (lab.Spec, error) {
	spec := lab.Spec{
		Name:          a.labName(),
		ControlPlanes: a.settings.GetInt("control-planes"), Workers: a.settings.GetInt("workers"),
		Names: lab.Names(a.settings.GetString("names")), HA: a.settings.GetBool("ha"),
	}
	if spec.HA && !a.settings.IsSet("control-planes") {
		spec.ControlPlanes = haControlPlanes
	}
	if found != nil && len(found.Machines) > 0 {
		controlPlanes := 0
		for _, m := range found.Machines {
			if slices.Contains(m.Roles, config.RoleControlPlane) {
				controlPlanes++
			}
		}
		if !a.settings.IsSet("control-planes") {
			spec.ControlPlanes = controlPlanes
		}
		if !a.settings.IsSet("workers") {
			spec.Workers = len(found.Machines) - controlPlanes
		}
		if spec.Names == "" {
			spec.Names = lab.NamesOf(found)
		}
	}
	if err := a.labMachines(&spec, found); err != nil {
		return spec, err
	}
	if spec.ControlPlanes == 0 && !a.settings.GetBool("machines-only") {
		return spec, &usageError{workflow.WithHint(
			errors.New("0 control planes: a cluster needs at least one"), "pass --machines-only to create the machines alone")}
	}
	if a.settings.IsSet("addons") {
		spec.Addons = append([]string{}, a.list("addons")...)
		for _, name := range spec.Addons {
			if !(config.Addon{Name: name}).Known() {
				return spec, &usageError{fmt.Errorf("--addons: unknown addon %q: must be one of %s", name, strings.Join(config.KnownAddons(), ", "))}
			}
		}
	}
	if path := a.settings.GetString("bundle"); path != "" {
		var err error
		if spec.Bundle, err = filepath.Abs(path); err != nil {
			return spec, err
		}
	}
	if path := a.settings.GetString("overlay"); path != "" {
		var err error
		if spec.Overlay, err = os.ReadFile(path); err != nil {
			return spec, &usageError{fmt.Errorf("--overlay: %w", err)}
		}
	}
	if err := spec.Validate(); err != nil {
		return spec, &usageError{err}
	}
	return spec, nil
}

// labMachines reads the network and the machines: those of another inventory, or of the
// lab that exists if it has such machines.
func (a *app) labMachines(spec *lab.Spec, found *lab.Lab) error {
	var err error
	if text := a.settings.GetString("range"); text != "" {
		if spec.Subnet, err = parseRange(text); err != nil {
			return err
		}
	}
	path := a.settings.GetString("hosts-from")
	numbers := a.settings.IsSet("control-planes") || a.settings.IsSet("workers")
	switch {
	case path != "" && (numbers || a.settings.IsSet("names")):
		return &usageError{errors.New("--hosts-from: the inventory says the number and the names of the machines: omit --control-planes, --workers and --names")}
	case path != "":
		cluster, err := config.Load(path)
		if err != nil {
			return err
		}
		if *spec, err = spec.WithHostsOf(cluster); err != nil {
			return &usageError{fmt.Errorf("--hosts-from %s: %w", path, err)}
		}
	case found != nil && len(found.Machines) > 0:
		var named bool
		if *spec, named = spec.WithMachinesOf(found); named && numbers {
			return &usageError{errors.New("the lab has the machines of an inventory: change the inventory, and pass it with --hosts-from")}
		}
	}
	return nil
}

// haControlPlanes is the smallest number with which etcd survives the loss of one.
const haControlPlanes = 3

// parseRange reads an IPv4 network.
func parseRange(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || !prefix.Addr().Is4() {
		return prefix, &usageError{fmt.Errorf("--range %q: must be an IPv4 network such as 192.168.56.0/24", text)}
	}
	return prefix, nil
}

// newLab returns the provider of a lab that does not exist yet, and the checks
// of this computer that come first: nil for containers, which check themselves.
func (a *app) newLab(ctx context.Context, spec lab.Spec) (lab.Provider, *preflight.LocalOptions, error) {
	provider, facts, err := a.newLabProvider(ctx)
	v, ok := provider.(vagrant.Vagrant)
	if err != nil || !ok {
		return provider, nil, err
	}
	selection := preflight.Selection{Skip: a.list("skip-checks")}
	if a.settings.GetBool("machines-only") {
		selection.Skip = append(selection.Skip, "downloads")
	}
	if err := selection.Validate(); err != nil {
		return nil, nil, err
	}
	want := preflight.LabSpec{
		Facts: facts, Provider: providerVagrant, Hypervisor: v.Provider, Box: v.Box,
		Machines: spec.ControlPlanes + spec.Workers, MemoryMiB: cmp.Or(v.MemoryMiB, vagrant.DefaultMemoryMiB), DiskMiB: labDiskMiB,
		Range: cmp.Or(spec.Subnet, vagrant.DefaultNetwork(v.Provider)), Bundle: spec.Bundle, Download: releaseServer,
	}
	if want.Bundle == "" {
		if want.Bundle, err = cachedBundleDir(); err != nil {
			return nil, nil, err
		}
	}
	return provider, &preflight.LocalOptions{Spec: want, Selection: selection}, nil
}

// refuse prints a report with errors, on standard output as JSON, and returns them; a
// report without errors passes in silence.
func (a *app) refuse(found *check.Report) error {
	if found.Status() != check.Error {
		return nil
	}
	write := func() error { return report.Preflight(a.err, found, false) }
	if a.json() {
		write = func() error { return printJSON(a.out, found) }
	}
	if err := write(); err != nil {
		return err
	}
	return verdictOf(found)
}

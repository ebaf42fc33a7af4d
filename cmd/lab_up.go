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

	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/lab/vagrant"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

func newLabUp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the machines, install the cluster, validate it, merge the kubeconfig",
		Long: `Make the machines of the lab, install a cluster on them, validate it and merge its
kubeconfig into yours. What is there already is left alone, so that it can be run
again after it failed; what is not given stays as it is.

Before the first virtual machine is made, this computer is checked as by
"slipway preflight --local".`,
		Example: `  slipway lab up
  slipway lab up --provider vagrant --box ubuntu-24.04 --memory 4096
  slipway lab up --provider vagrant --hypervisor libvirt --names classic
  slipway lab up --workers 1 --bundle ./bundle
  slipway lab up --addons local-path,traefik,metallb,metrics-server
  slipway lab up --overlay calico.yaml
  slipway lab up --ha --machines-only`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.labUp(cmd.Context()) },
	}
	connectionFlags(cmd)
	flags := cmd.Flags()
	flags.String("provider", "", "who makes the machines: vagrant or container (default: vagrant where a hypervisor runs)")
	flags.Int("control-planes", 1, "how many control planes")
	flags.Int("workers", 2, "how many workers")
	flags.Bool("ha", false, "three control planes")
	flags.String("names", "", "names of the machines: short (cp1, w1) or classic (kmaster, kworker1)")
	flags.String("bundle", "", "the bundle to install from (default: made online)")
	flags.StringSlice("addons", nil, "addons to install, without options (default: those that the lab has): "+strings.Join(config.KnownAddons(), ", "))
	flags.String("overlay", "", "a file with sections of an inventory to lay over the lab's own (default: the one that the lab has)")
	flags.Bool("machines-only", false, "make the machines and the inventory, and install nothing")
	flags.Bool("install-missing", false, "container: install the Debian packages that the lab needs on this computer")
	flags.String("hypervisor", "", "vagrant: its provider (default: what is there): "+strings.Join(vagrant.Providers(), ", "))
	flags.String("box", "", "vagrant: a box (default debian-13): "+strings.Join(vagrant.Boxes(), ", ")+", or any other's name")
	flags.String("box-version", "", "vagrant: one version of the box (default: the newest)")
	flags.Int("cpus", 0, "vagrant: CPUs of each machine (default 2)")
	flags.Int("memory", 0, "vagrant: memory of each machine, in MiB (default 2048)")
	flags.String("range", "", "the machines' network, a /24 (default with vagrant 172.16.16.0/24, else a free one)")
	flags.StringSlice("skip-checks", nil, "vagrant: checks of this computer to leave out")
	flags.Bool("force", false, "replace another cluster's entry of the same name in the kubeconfig")
	flags.Duration("timeout", 5*time.Minute, "how long nodes, and each addon, may take to be ready, and validating as a whole; more for slow machines")
	flags.Int("parallel", 20, "how many steps may be under way at once, over all hosts")
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
	there := err == nil
	if err != nil && !errors.Is(err, lab.ErrNotFound) {
		return err
	}
	spec, err := a.labSpec(found)
	if err != nil {
		return err
	}
	var facts *localhost.Facts
	if there {
		err = a.sameProvider(provider)
	} else {
		provider, facts, err = a.newLabProvider(ctx)
	}
	if err != nil {
		return err
	}
	if v, ok := provider.(vagrant.Vagrant); ok && !there {
		if err := a.fitForLab(ctx, v, spec, facts); err != nil {
			return err
		}
	}
	made, err := provider.Up(ctx, spec)
	if err != nil {
		return workflow.WithHint(err, "run it again once that is mended: it goes on from here; `slipway lab down` removes everything")
	}
	a.settings.Set("inventory", made.InventoryFile())
	if a.settings.GetBool("machines-only") {
		fmt.Fprintf(a.out, "%s\n", made.InventoryFile())
		return nil
	}
	return a.labInstall(ctx, made)
}

// sameProvider refuses another provider than the one that a lab has.
func (a *app) sameProvider(provider lab.Provider) error {
	has := providerContainer
	if _, ok := provider.(vagrant.Vagrant); ok {
		has = providerVagrant
	}
	if asked := a.settings.GetString("provider"); asked != "" && asked != has {
		return &usageError{fmt.Errorf("--provider %s: the machines of lab %s are made by %s; take it down first, or choose another --name", asked, a.labName(), has)}
	}
	return nil
}

// labSpec is what was asked for; what was not is as in the lab that was found,
// which is nil if there is none.
func (a *app) labSpec(found *lab.Lab) (lab.Spec, error) {
	spec := lab.Spec{
		Name:          a.labName(),
		ControlPlanes: a.settings.GetInt("control-planes"), Workers: a.settings.GetInt("workers"),
		Names: lab.Names(a.settings.GetString("names")),
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
	if a.settings.GetBool("ha") {
		if a.settings.IsSet("control-planes") && spec.ControlPlanes != haControlPlanes {
			return spec, &usageError{fmt.Errorf("--ha is %d control planes: leave out --control-planes", haControlPlanes)}
		}
		spec.ControlPlanes = haControlPlanes
	}
	if spec.ControlPlanes > 1 && !a.settings.GetBool("machines-only") {
		return spec, &usageError{errors.New("clusters with more than one control plane cannot be installed yet: add --machines-only for the machines alone")}
	}
	if text := a.settings.GetString("range"); text != "" {
		var err error
		if spec.Subnet, err = parseRange(text); err != nil {
			return spec, err
		}
	}
	if a.settings.IsSet("addons") {
		spec.Addons = append([]string{}, a.list("addons")...)
		for _, name := range spec.Addons {
			if !(config.Addon{Name: name}).Known() {
				return spec, &usageError{fmt.Errorf("--addons %s: choose from %s", name, strings.Join(config.KnownAddons(), ", "))}
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

// haControlPlanes is the smallest number whose etcd survives the loss of one.
const haControlPlanes = 3

// parseRange reads an IPv4 network.
func parseRange(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || !prefix.Addr().Is4() {
		return prefix, &usageError{fmt.Errorf("--range %q: write it as 172.16.16.0/24", text)}
	}
	return prefix, nil
}

// fitForLab checks this computer before virtual machines are made on it. Its
// facts are nil if nobody has asked for them yet.
func (a *app) fitForLab(ctx context.Context, v vagrant.Vagrant, spec lab.Spec, facts *localhost.Facts) error {
	selection := preflight.Selection{Skip: a.list("skip-checks")}
	if a.settings.GetBool("machines-only") {
		selection.Skip = append(selection.Skip, "downloads")
	}
	if err := selection.Validate(); err != nil {
		return err
	}
	want := preflight.Wanted{
		Facts: facts, Provider: providerVagrant, Hypervisor: v.Provider,
		Machines: spec.ControlPlanes + spec.Workers, MemoryMiB: cmp.Or(v.MemoryMiB, vagrant.DefaultMemoryMiB), DiskMiB: labDiskMiB,
		Range: cmp.Or(spec.Subnet, vagrant.DefaultNetwork()), Bundle: spec.Bundle, Download: releaseServer,
	}
	if want.Bundle == "" {
		var err error
		if want.Bundle, err = cachedBundleDir(); err != nil {
			return err
		}
	}
	found, err := preflight.LookLocal(ctx, localhost.Current{}, want, selection)
	if err != nil {
		return err
	}
	if found.Status() != check.Error {
		return nil
	}
	if err := report.Preflight(a.err, found, false); err != nil {
		return err
	}
	return verdictOf(found)
}

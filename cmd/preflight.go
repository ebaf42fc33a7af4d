package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab/vagrant"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
)

// preflightFormats are what --output may be for preflight.
var preflightFormats = []string{"text", "json", "yaml", "junit", "html"}

func newPreflight(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Check the machines, and change nothing",
		Long: `Check every machine, all of them together, and what lies between them with real
packets: a small program is brought to each machine for that, and removed. All
checks run, and none is changed by what another finds.

The exit code is 5 if a check found an error, 10 if one could not be answered, 11 if
there are warnings only, and else 0. "slipway explain CHECK" says more about a check.`,
		Example: `  slipway preflight
  slipway preflight --watch
  slipway preflight --only mesh,mtu
  slipway preflight --skip-checks disk-latency -o json
  slipway preflight -o html --output-file preflight.html
  slipway preflight --local`,
		Args:        noArgs,
		Annotations: map[string]string{outputFormats: strings.Join(preflightFormats, ",")},
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.preflight(cmd.Context()) },
	}
	connectionFlags(cmd)
	flags := cmd.Flags()
	flags.StringSlice("only", nil, "the checks to run (default: all)")
	flags.StringSlice("skip-checks", nil, "checks to leave out")
	flags.Bool("no-pairs", false, "send no packets between the machines")
	flags.Bool("local", false, "check this computer, on which a lab is to run, and no machines")
	flags.String("provider", "", "with --local: vagrant or container (default: what is there)")
	flags.String("hypervisor", "", "with --local: Vagrant's provider (default: what is there)")
	flags.Int("machines", 3, "with --local: how many machines there shall be")
	flags.Int("memory", vagrant.DefaultMemoryMiB, "with --local: the memory of a machine, in MiB")
	flags.String("range", vagrant.DefaultNetwork().String(), "with --local: the network of the machines")
	flags.String("bundle", "", "with --local: the bundle to install from")
	flags.Bool("watch", false, "check again and again, until nothing is wrong")
	flags.Duration("interval", 5*time.Second, "with --watch: how long to wait before the next round")
	flags.String("output-file", "", "write the report to this file")
	names := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var all []string
		for _, d := range preflight.Describe() {
			all = append(all, d.Name+"\t"+d.Title)
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
	for _, flag := range []string{"only", "skip-checks"} {
		if err := cmd.RegisterFlagCompletionFunc(flag, names); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

func (a *app) preflight(ctx context.Context) error {
	selection := preflight.Selection{Only: a.list("only"), Skip: a.list("skip-checks")}
	if err := selection.Validate(); err != nil {
		return err
	}
	look := a.lookAtMachines
	if a.settings.GetBool("local") {
		look = a.lookAtThisComputer
	}
	for {
		found, err := look(ctx, selection)
		if err != nil {
			return err
		}
		if err := a.show(found); err != nil {
			return err
		}
		verdict := verdictOf(found)
		green := verdict == nil || errors.Is(verdict, errWarnings)
		if green || !a.settings.GetBool("watch") {
			return verdict
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(a.settings.GetDuration("interval")):
		}
	}
}

// lookAtMachines makes new connections each time: what is wrong may be the
// connection.
func (a *app) lookAtMachines(ctx context.Context, selection preflight.Selection) (*check.Report, error) {
	cluster, path, err := a.inventory()
	if err != nil {
		return nil, err
	}
	hosts, closeAll, err := a.hosts(cluster, path)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	options := preflight.Options{Selection: selection, NoPairs: a.settings.GetBool("no-pairs")}
	if cluster.Artifacts.Bundle != "" {
		if made, err := openBundle(cluster.Artifacts.Bundle); err != nil {
			options.BundleErr = err
		} else {
			options.Version = made.Manifest().Kubernetes
		}
	}
	if report.IsTerminal(a.err) {
		fmt.Fprintf(a.err, "looking at %d hosts\r", len(cluster.Hosts))
		defer fmt.Fprint(a.err, "\x1b[K")
	}
	return preflight.Look(ctx, cluster, hosts, options)
}

// labDiskMiB is what a machine of a lab takes on disk, in MiB: the images of a
// control plane unpack to a few GB.
const labDiskMiB = 8192

// releaseServer is where a bundle comes from.
const releaseServer = "https://dl.k8s.io/"

// lookAtThisComputer checks where a lab is to run.
func (a *app) lookAtThisComputer(ctx context.Context, selection preflight.Selection) (*check.Report, error) {
	want := preflight.Wanted{
		Provider: a.settings.GetString("provider"), Hypervisor: a.settings.GetString("hypervisor"), Machines: a.settings.GetInt("machines"),
		MemoryMiB: a.settings.GetInt("memory"), DiskMiB: labDiskMiB,
		Bundle: a.settings.GetString("bundle"), Download: releaseServer,
	}
	var err error
	if want.Range, err = parseRange(a.settings.GetString("range")); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", providerVagrant, providerContainer}, want.Provider) {
		return nil, &usageError{fmt.Errorf("--provider %q: use vagrant or container", want.Provider)}
	}
	if want.Machines < 1 || want.MemoryMiB < 1 {
		return nil, &usageError{errors.New("--machines and --memory: use numbers above 0")}
	}
	if want.Bundle == "" {
		want.Bundle, err = cachedBundleDir()
	} else if _, err = openBundle(want.Bundle); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return preflight.LookLocal(ctx, localhost.Current{}, want, selection)
}

// cachedBundleDir is the bundle of a cluster without addons in the user's
// cache; empty if there is none that can be used.
func cachedBundleDir() (string, error) {
	dir, err := bundleDir(config.DefaultKubernetesVersion, []string{config.CNIFlannel})
	if err != nil {
		return "", err
	}
	if _, err := bundle.Open(dir); err != nil {
		return "", nil
	}
	return dir, nil
}

// show writes a report as it was asked for.
func (a *app) show(found *check.Report) error {
	path := a.settings.GetString("output-file")
	if path == "" {
		if report.IsTerminal(a.out) && a.settings.GetBool("watch") {
			fmt.Fprint(a.out, "\x1b[H\x1b[2J")
		}
		return a.write(a.out, found)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return &usageError{fmt.Errorf("--output-file: %w", err)}
	}
	err = a.write(file, found)
	return errors.Join(err, file.Close())
}

func (a *app) write(w io.Writer, found *check.Report) error {
	switch a.settings.GetString("output") {
	case "json":
		return printJSON(w, found)
	case "yaml":
		text, err := yaml.Marshal(found)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "---\n%s", text)
		return err
	case "junit":
		return report.PreflightJUnit(w, found)
	case "html":
		return report.PreflightHTML(w, found)
	default:
		return report.Preflight(w, found, a.settings.GetBool("verbose"))
	}
}

// What a preflight comes to beside findings that are errors.
var (
	errUnknown  = errors.New("some checks could not be answered")
	errWarnings = errors.New("some checks warn")
)

// verdictOf is nil where nothing is wrong.
func verdictOf(found *check.Report) error {
	switch found.Status() {
	case check.Error:
		return reported{&preflight.FindingsError{Findings: found.Findings(check.Error)}}
	case check.Unknown:
		return reported{errUnknown}
	case check.Warning:
		return reported{errWarnings}
	}
	return nil
}

// allowedFormats are what --output may be for a command.
func allowedFormats(cmd *cobra.Command) []string {
	if own := cmd.Annotations[outputFormats]; own != "" {
		return strings.Split(own, ",")
	}
	return []string{"text", "json"}
}

// outputFormats is the annotation of a command with formats of its own.
const outputFormats = "output-formats"

func checkFormat(cmd *cobra.Command, format string) error {
	allowed := allowedFormats(cmd)
	if slices.Contains(allowed, format) {
		return nil
	}
	last := len(allowed) - 1
	return &usageError{fmt.Errorf("--output %q: use %s or %s", format, strings.Join(allowed[:last], ", "), allowed[last])}
}

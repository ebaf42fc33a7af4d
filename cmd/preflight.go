package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab/vagrant"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/retry"
)

// preflightFormats are the values of --output for preflight.
var preflightFormats = []string{"text", "json", "yaml", "junit", "html"}

func newPreflight(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Check hosts and network before an installation",
		Long: `Check each host, all hosts together and the network between them, and report every
problem with its fix. To measure the network, a small program is copied to each host,
run and deleted. Nothing else changes.

The exit code is 5 if a check found an error, 10 if a check was inconclusive, 11 if there
are only warnings, and otherwise 0. "slipway explain CHECK" explains a check. Output
formats: text, json, yaml, junit, html.`,
		Example: `  slipway preflight
  slipway preflight --watch
  slipway preflight --only reachability,mtu
  slipway preflight --skip-checks disk-latency -o json
  slipway preflight -o html --output-file preflight.html
  slipway preflight --local`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{outputFormats: strings.Join(preflightFormats, ",")},
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.preflight(cmd.Context()) },
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	flags := cmd.Flags()
	flags.StringSlice("only", nil, "Checks to run. (default all)")
	flags.StringSlice("skip-checks", nil, "Checks to skip.")
	flags.Bool("no-pairs", false, "Do not send packets between hosts.")
	flags.Bool("local", false, "Check whether this computer can run a lab. No host is checked.")
	flags.String("provider", "", "With --local, provider of the machines: vagrant or container. (default the available one)")
	flags.String("hypervisor", "", "With --local, hypervisor of Vagrant. (default the available one)")
	flags.Int("machines", 3, "With --local, number of machines.")
	flags.Int("memory", vagrant.DefaultMemoryMiB, "With --local, memory of each machine in MiB.")
	flags.String("range", "", "With --local, network of the machines. (default that of slipway lab up)")
	flags.String("box", "", "With --local, box of Vagrant. (default one that exists for the hypervisor)")
	flags.String("bundle", "", "With --local, path to the bundle to install from. (default downloaded)")
	flags.Bool("watch", false, "Repeat the checks until all of them pass.")
	flags.Duration("interval", 5*time.Second, "With --watch, time between two rounds.")
	flags.String("output-file", "", "Path to the file to write the report to. (default standard output)")
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
	run := a.preflightHosts
	if a.settings.GetBool("local") {
		run = a.preflightLocal
	}
	if !a.settings.GetBool("watch") {
		return run(ctx, selection)
	}
	return retry.Do(ctx, func(ctx context.Context) error {
		err := run(ctx, selection)
		var verdict reported
		if !errors.As(err, &verdict) || errors.Is(err, errWarnings) {
			return retry.Stop(err)
		}
		return err
	}, retry.Options{Pause: retry.Every(a.settings.GetDuration("interval"))})
}

// preflightHosts opens new connections in each round: a connection may be the problem.
func (a *app) preflightHosts(ctx context.Context, selection preflight.Selection) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	options := preflight.Options{Selection: selection, NoPairs: a.settings.GetBool("no-pairs")}
	switch b, err := namedBundle(s.cluster); {
	case err != nil:
		options.BundleErr = err
	case b != nil:
		options.Version, options.Arches = b.Manifest().Kubernetes, b.Arches()
	}
	if report.IsTerminal(a.err) {
		fmt.Fprintf(a.err, "checking %d hosts\r", len(s.cluster.Hosts))
		defer fmt.Fprint(a.err, "\x1b[K")
	}
	return a.query(ctx, s, phases.Preflight(options, a.showVerdict))
}

// labDiskMiB is the disk space of a machine in MiB: the images of a control plane
// unpack to a few GB.
const labDiskMiB = 8192

// releaseServer is where bundles are downloaded from.
const releaseServer = "https://dl.k8s.io/"

// preflightLocal checks the computer on which a lab is to run.
func (a *app) preflightLocal(ctx context.Context, selection preflight.Selection) error {
	spec := preflight.LabSpec{
		Provider: a.settings.GetString("provider"), Hypervisor: a.settings.GetString("hypervisor"), Machines: a.settings.GetInt("machines"),
		MemoryMiB: a.settings.GetInt("memory"), DiskMiB: labDiskMiB,
		Bundle: a.settings.GetString("bundle"), Download: releaseServer,
	}
	var err error
	if text := a.settings.GetString("range"); text != "" {
		if spec.Range, err = parseRange(text); err != nil {
			return err
		}
	}
	if !slices.Contains([]string{"", providerVagrant, providerContainer}, spec.Provider) {
		return unknownProvider(spec.Provider)
	}
	if spec.Machines < 1 || spec.MemoryMiB < 1 {
		return &usageError{errors.New("--machines and --memory: must be greater than 0")}
	}
	if spec.Bundle == "" {
		spec.Bundle, err = cachedBundleDir()
	} else if _, err = openBundle(spec.Bundle); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	spec.Facts = localhost.ReadFacts(ctx, a.system())
	hypervisor := cmp.Or(spec.Hypervisor, spec.Facts.Hypervisor())
	spec.Box = vagrant.BoxOf(cmp.Or(a.settings.GetString("box"), vagrant.DefaultBox(hypervisor, spec.Facts.Arch)))
	spec.Range = cmp.Or(spec.Range, vagrant.DefaultNetwork(hypervisor))
	return a.query(ctx, onLocalhost(), phases.PreflightLocal(preflight.LocalOptions{Spec: spec, Selection: selection}, a.showVerdict))
}

// cachedBundleDir is the cached bundle for a lab without addons, or empty. Its machines
// have the architecture of this computer.
func cachedBundleDir() (string, error) {
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		return "", err
	}
	dir, err := bundleDir(catalogue, config.DefaultKubernetesVersion, []string{runtime.GOARCH}, []string{config.CNIFlannel})
	if err != nil {
		return "", err
	}
	if _, err := bundle.Open(dir); err != nil {
		return "", nil
	}
	return dir, nil
}

// showVerdict prints a report and returns its verdict.
func (a *app) showVerdict(found *check.Report) error {
	if err := a.show(found); err != nil {
		return err
	}
	return verdictOf(found)
}

// show prints a report in the format of --output.
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

// The verdicts on a report without errors.
var (
	errUnknown  = errors.New("some checks are inconclusive")
	errWarnings = errors.New("some checks have warnings")
)

// verdictOf returns an error unless all checks passed.
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

// allowedFormats are the values of --output for a command.
func allowedFormats(cmd *cobra.Command) []string {
	if formats := cmd.Annotations[outputFormats]; formats != "" {
		return strings.Split(formats, ",")
	}
	return []string{"text", "json"}
}

// outputFormats is the annotation of a command with formats other than text and json.
const outputFormats = "output-formats"

func checkFormat(cmd *cobra.Command, format string) error {
	allowed := allowedFormats(cmd)
	if slices.Contains(allowed, format) {
		return nil
	}
	last := len(allowed) - 1
	return &usageError{fmt.Errorf("--output %q: must be %s or %s", format, strings.Join(allowed[:last], ", "), allowed[last])}
}

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
)

func newBundle(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "bundle",
		Short: "Create, verify and list bundles for installation without internet access",
		Long: `Create, verify and list bundles. A bundle is a directory with all binaries and images
that a cluster needs, each with its sha256. To install hosts without internet access,
create a bundle beforehand and set artifacts.bundle in the inventory.`,
		Example: "  slipway bundle create ./bundle\n  slipway bundle verify ./bundle",
	}, newBundleCreate(a), newBundleVerify(a), newBundleList(a), newBundleCatalogue(a))
}

func newBundleCreate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create DIR",
		Short: "Download a bundle from the release servers",
		Long: `Download all files of a bundle and verify each against the sha256 that slipway knows,
or else against the one that the release server publishes. Rerun the command to resume
interrupted downloads. With -i, the bundle contains the Kubernetes version, the pod
network and the addons of that inventory.

Any patch release of the supported minor versions can be downloaded. With -i or --lock, the
lock file pins the sha256 of each file and the digest of each image at the first download.

The bundle is for amd64 hosts unless --arch says otherwise, whatever computer you create it
on: the command does not connect to the hosts.`,
		Example: `  slipway bundle create ./bundle
  slipway bundle create ./bundle --kubernetes v1.36.4 --arch amd64,arm64
  slipway bundle create ./bundle --addons flannel,local-path,traefik,metallb
  slipway bundle create ./bundle -i lab.yaml
  slipway bundle create ./bundle --kubernetes v1.36.7 --lock ./bundle.lock.yaml
  slipway bundle create ./bundle --mirror https://dl.k8s.io/=https://mirror.example/k8s/ --registry registry.k8s.io=mirror.example:5000`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mirrors, err := cmd.Flags().GetStringToString("mirror")
			if err != nil {
				return err
			}
			registries, err := cmd.Flags().GetStringToString("registry")
			if err != nil {
				return err
			}
			if err := checkMirrors(mirrors, registries); err != nil {
				return err
			}
			options := bundle.CreateOptions{
				Dir: args[0], Kubernetes: a.settings.GetString("kubernetes"), Addons: a.list("addons"), Arches: a.list("arch"),
				Lock:     a.settings.GetString("lock"),
				Progress: showDownloads(func(line string) { fmt.Fprintf(a.err, "  %s\n", line) }).progress,
			}
			cluster, catalogue := &config.Cluster{}, a.settings.GetString("catalogue")
			if cmd.Flags().Changed("inventory") {
				var path string
				if cluster, path, err = a.inventory(); err != nil {
					return err
				}
				catalogue = cluster.Artifacts.Catalogue
				options.Lock = cmp.Or(options.Lock, bundle.LockFile(path))
				if !cmd.Flags().Changed("kubernetes") {
					options.Kubernetes = cluster.Kubernetes.NewVersion()
				}
				if !cmd.Flags().Changed("addons") {
					options.Addons = cluster.Catalogued()
				}
			}
			known, err := bundle.OpenCatalogue(catalogue)
			if err != nil {
				return &usageError{err}
			}
			options.Catalogue = &known
			if path := a.settings.GetString("ca-file"); path != "" {
				cluster.Artifacts.CAFile = path
			}
			options.Rewrites = overlay(cluster.Artifacts.Rewrites, mirrors)
			options.RegistryMirrors = overlay(cluster.Artifacts.Registries, registries)
			if options.Client, err = sources.Local().Client(cluster); err != nil {
				return err
			}
			b, err := bundle.Create(cmd.Context(), options)
			if err != nil {
				return withRemedy(err)
			}
			fmt.Fprintf(a.out, "%s\n", b.Dir())
			return nil
		},
	}
	flags := cmd.Flags()
	flags.String("kubernetes", config.DefaultKubernetesVersion, "Version of Kubernetes.")
	flags.StringSlice("addons", []string{config.CNIFlannel}, "Pod network and addons to include: "+strings.Join(slices.Concat(config.PodNetworks(), config.KnownAddons()), ", ")+".")
	flags.StringSlice("arch", []string{bundle.DefaultArch}, "Architectures of the hosts: "+strings.Join(bundle.Arches(), ", ")+".")
	flags.String("lock", "", "Path to the lock file. (default with -i the one beside the inventory, such as inventory.lock.yaml)")
	catalogueFlag(cmd)
	flags.StringToString("mirror", nil, "Download URLs from a mirror, as PREFIX=MIRROR-PREFIX.")
	flags.StringToString("registry", nil, "Pull images from a mirror, as REGISTRY=MIRROR[/PATH].")
	flags.String("ca-file", "", "Path to a PEM file with CAs to trust in addition to those of the system.")
	return cmd
}

func newBundleCatalogue(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "catalogue",
		Short: "Print the catalogue of releases that is built into slipway",
		Long: `Print the catalogue: the releases that slipway can install, where it downloads them, and
their sums and images. Edit a copy, and pass it with --catalogue or set artifacts.catalogue.`,
		Example: "  slipway bundle catalogue > catalogue.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(bundle.BuiltInCatalogue())
			return err
		},
	}
}

func newBundleVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "verify DIR",
		Short:   "Verify every file of a bundle against its sha256",
		Example: "  slipway bundle verify ./bundle",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := openBundle(args[0])
			if err != nil {
				return err
			}
			if err := b.Verify(cmd.Context()); err != nil {
				return err
			}
			m := b.Manifest()
			fmt.Fprintf(a.out, "%s: Kubernetes %s, %d files and %d images verified\n", b.Dir(), m.Kubernetes, len(m.Files), len(m.Images))
			return nil
		},
	}
}

func newBundleList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list DIR",
		Short:   "List the files, images and manifests of a bundle",
		Example: "  slipway bundle list ./bundle -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := openBundle(args[0])
			if err != nil {
				return err
			}
			m := b.Manifest()
			if a.json() {
				return a.printJSON(m)
			}
			var rows []report.Row
			for _, f := range m.Files {
				rows = append(rows, report.Row{Cells: []string{"file", f.Name, f.Version, f.Arch, megabytes(f.Size), strings.Join(f.Roles, ", "), ""}})
			}
			for _, i := range m.Images {
				rows = append(rows, report.Row{Cells: []string{"image", i.Name, "", i.Arch, megabytes(i.Size), strings.Join(i.Roles, ", "), i.Addon}})
			}
			for _, f := range m.Manifests {
				rows = append(rows, report.Row{Cells: []string{"manifest", f.Name, f.Version, "", megabytes(f.Size), "", f.Addon}})
			}
			return report.Table(a.out, []string{"KIND", "NAME", "VERSION", "ARCH", "SIZE", "ROLES", "ADDON"}, rows)
		},
	}
}

func megabytes(size int64) string { return fmt.Sprintf("%.1f MB", float64(size)/1e6) }

// bundleError: the directory is not a usable bundle.
type bundleError struct{ error }

func (e *bundleError) Unwrap() error { return e.error }

func openBundle(dir string) (*bundle.Bundle, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, &bundleError{err}
	}
	return b, nil
}

// bundleDir is the cache directory for a bundle. It names all that the bundle depends on.
func bundleDir(catalogue bundle.Catalogue, version string, arches, addons []string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	key, err := catalogue.Key(version, addons)
	if err != nil {
		return "", err
	}
	name := []string{version, strings.Join(arches, "+")}
	if len(addons) > 0 {
		name = append(name, strings.Join(slices.Sorted(slices.Values(addons)), "+"))
	}
	return filepath.Join(cache, "slipway", "bundles", strings.Join(append(name, key), "-")), nil
}

// namedBundle opens the bundle that the inventory names; nil if it names none. It also
// refuses a catalogue that cannot be read.
func namedBundle(cluster *config.Cluster) (*bundle.Bundle, error) {
	if path := cluster.Artifacts.Catalogue; path != "" {
		if _, err := bundle.OpenCatalogue(path); err != nil {
			return nil, &usageError{err}
		}
	}
	if cluster.Artifacts.Bundle == "" {
		return nil, nil
	}
	return openBundle(cluster.Artifacts.Bundle)
}

// cachedBundleOf returns a function that opens the cached bundle of a version.
func cachedBundleOf(s *session) func(context.Context, string, []string, func(string)) (*bundle.Bundle, error) {
	return func(ctx context.Context, version string, arches []string, progress func(string)) (*bundle.Bundle, error) {
		if len(arches) == 0 { // no host could be asked
			arches = []string{bundle.DefaultArch}
		}
		return cachedBundle(ctx, s.cluster, bundle.LockFile(s.inventory), version, arches, progress)
	}
}

// cachedBundle opens the bundle for a cluster of a version in the user's cache
// directory, and creates it if it does not exist, or if it is not the one that the lock
// file pins.
func cachedBundle(ctx context.Context, cluster *config.Cluster, lock, version string, arches []string, progress func(string)) (*bundle.Bundle, error) {
	catalogue, err := bundle.OpenCatalogue(cluster.Artifacts.Catalogue)
	if err != nil {
		return nil, err
	}
	dir, err := bundleDir(catalogue, version, arches, cluster.Catalogued())
	if err != nil {
		return nil, err
	}
	pins, err := bundle.OpenLock(lock)
	if err != nil {
		return nil, &bundleError{err}
	}
	reason := "artifacts.bundle is not set"
	b, err := bundle.Open(dir)
	if err == nil {
		if err = pins.Pin(b); err == nil {
			return b, nil
		}
		var another *bundle.PinError
		if !errors.As(err, &another) {
			return nil, err
		}
		reason = "the cached bundle is not the one that " + lock + " pins"
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	client, err := sources.Local().Client(cluster)
	if err != nil {
		return nil, err
	}
	progress(fmt.Sprintf("%s: creating a bundle of %s for %s in %s", reason, version, strings.Join(arches, " and "), dir))
	b, err = bundle.Create(ctx, bundle.CreateOptions{
		Dir: dir, Catalogue: &catalogue, Lock: lock, Kubernetes: version, Addons: cluster.Catalogued(), Arches: arches,
		Rewrites: cluster.Artifacts.Rewrites, RegistryMirrors: cluster.Artifacts.Registries, Client: client,
		Progress: showDownloads(progress).progress,
	})
	return b, workflow.WithHint(withRemedy(err), "without access to the release servers, create a bundle on another computer with `slipway bundle create` and set artifacts.bundle")
}

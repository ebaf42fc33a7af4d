// Command source builds a bundle from pinned Go modules: the same binaries and images that "slipway bundle create"
// downloads, without access to release servers or an image registry.
//
//	go run ./e2e/source -out DIR
//
// Each component is a Go module under modules/. Build results are cached by their inputs and verified before use.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "source:", err)
		os.Exit(1)
	}
}

// podNetwork is the default pod network.
const podNetwork = "flannel"

// options of the command line.
type options struct {
	out      string
	cache    string
	printKey bool
	install  bool
	// addons of pins.yaml to include.
	addons []string
	// kubernetes is the version, with its v; empty for the one in modules/.
	kubernetes string
	// arch is the architecture of the bundle.
	arch string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("source", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.out, "out", "", "directory of the bundle (default: in the cache, named by its key)")
	flags.StringVar(&o.cache, "cache", "", "directory of build results (default: slipway/source in the user's cache)")
	flags.BoolVar(&o.printKey, "print-key", false, "print the key of the bundle and exit")
	addons := flags.String("addons", podNetwork, "comma-separated addons to include: "+strings.Join(buildable(), ", "))
	flags.StringVar(&o.kubernetes, "kubernetes", "", "version of Kubernetes (default: the one in modules/)")
	flags.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture: amd64 or arm64")
	flags.BoolVar(&o.install, "install", false, "install missing Debian packages with apt-get")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if !slices.Contains([]string{"amd64", "arm64"}, o.arch) {
		return options{}, fmt.Errorf("unknown architecture %q: choose amd64 or arm64", o.arch)
	}
	for _, name := range strings.FieldsFunc(*addons, func(r rune) bool { return r == ',' }) {
		if !slices.Contains(buildable(), name) {
			return options{}, fmt.Errorf("addon %q cannot be built from source: choose one of %s", name, strings.Join(buildable(), ", "))
		}
		o.addons = append(o.addons, name)
	}
	slices.Sort(o.addons)
	o.addons = slices.Compact(o.addons)
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return options{}, fmt.Errorf("cache directory: %w: set it with -cache", err)
		}
		o.cache = filepath.Join(dir, "slipway", "source")
	}
	cache, err := filepath.Abs(o.cache)
	o.cache = cache
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b, err := newBuilder(ctx, o, stderr)
	if err != nil {
		return err
	}
	if o.printKey {
		_, err := fmt.Fprintln(stdout, b.key)
		return err
	}
	built, err := b.bundle(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, built.Dir())
	return err
}

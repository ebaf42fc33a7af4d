package bundle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/retry"
)

// CreateOptions say what a bundle holds and where to download it from.
type CreateOptions struct {
	// Dir is the directory of the bundle. An existing bundle is replaced once the new one is complete.
	Dir string
	// Catalogue says what there is to download. Nil: the one that is built into slipway.
	Catalogue *Catalogue
	// Lock is the path of a lock file, which is created if it does not exist: downloads must be the pinned ones, and
	// new ones are pinned. Empty: nothing is pinned.
	Lock string
	// Kubernetes is a version, with or without its v: one that the catalogue lists, or another patch release of the
	// same minor version.
	Kubernetes string
	// Addons are the pod networks and other addons of the catalogue to include.
	Addons []string
	// Arches are the architectures, by their Go names. Default: DefaultArch.
	Arches []string
	// Cache is the directory that keeps downloads by sha256. Default slipway/artifacts in the user's cache directory.
	Cache string
	// Client downloads files, and its Transport images. Default: a client that uses the environment's proxies.
	Client *http.Client
	// Keychain has the credentials of registries. Default: Docker's configuration.
	Keychain authn.Keychain
	// Rewrites replace URL prefixes, the longest match first: "https://dl.k8s.io/" with
	// "https://mirror.example/k8s/".
	Rewrites map[string]string
	// RegistryMirrors replace registries: "registry.k8s.io" with "mirror.example:5000/k8s". A mirror without TLS begins
	// with http://.
	RegistryMirrors map[string]string
	// Parallel is the number of concurrent downloads. Default 4.
	Parallel int
	// Progress receives the state of each download, from several goroutines.
	Progress func(Progress)

	// stall is how long a server may send nothing.
	stall time.Duration
}

// Progress is the state of one download.
type Progress struct {
	// Name is a file with its version and architecture, or an image.
	Name string
	// Bytes of Total are downloaded. Total is 0 if it is unknown.
	Bytes, Total int64
	// Done is set once the download is complete and verified, Cached if it was in the cache.
	Cached, Done bool
	// Waiting is set while another process uses the cache, and names it. The other fields are empty then.
	Waiting error
	// More downloads follow whose sizes are not known yet.
	More bool
	// Retrying is why another attempt follows. Only Name is set then, too.
	Retrying error
}

// Create downloads released files and images into a bundle. It verifies every file against the sha256 in the catalogue
// or in the lock file, else against the one that the release server publishes, and every blob of an image against its
// digest. Interrupted downloads resume. The error joins those of all downloads.
func Create(ctx context.Context, o CreateOptions) (*Bundle, error) {
	if o.Catalogue != nil {
		return create(ctx, *o.Catalogue, o)
	}
	catalogue, err := LoadCatalogue()
	if err != nil {
		return nil, err
	}
	return create(ctx, catalogue, o)
}

func create(ctx context.Context, catalogue Catalogue, o CreateOptions) (*Bundle, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	pins, err := OpenLock(o.Lock)
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	f := newFetcher(o)
	catalogue, release, sources, err := catalogue.complete(ctx, f, pins, wanted{o.Kubernetes, o.Addons, o.Arches})
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	tasks, err := plan(catalogue, release, o.Addons, o.Arches)
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	cache, err := o.lockCache(ctx)
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	defer cache.Release()
	w, err := NewWriter(o.Dir, release.Kubernetes, OriginRelease)
	if err != nil {
		return nil, err
	}
	w.Downloaded(sources)
	errs := make([]error, len(tasks))
	var g errgroup.Group
	g.SetLimit(o.Parallel)
	f.pending.Store(int64(len(tasks)))
	for i, do := range tasks {
		g.Go(func() error {
			f.pending.Add(-1)
			errs[i] = pins.explain(do(ctx, f, w))
			return nil
		})
	}
	_ = g.Wait() // always nil: a failed task does not stop the others
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(fmt.Errorf("create bundle: %w", err), w.Abort())
	}
	b, err := w.Commit(ctx)
	if err != nil {
		return nil, err
	}
	return b, pins.Pin(b)
}

// Arches lists the architectures of hosts for which the projects publish files and images.
func Arches() []string { return []string{"amd64", "arm64"} }

// DefaultArch is the architecture of a bundle that is created without a look at the hosts. The architecture of the
// computer that creates the bundle says nothing about them.
const DefaultArch = "amd64"

func (o CreateOptions) withDefaults() (CreateOptions, error) {
	if len(o.Arches) == 0 {
		o.Arches = []string{DefaultArch}
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport}
	}
	if o.Client.Transport == nil {
		client := *o.Client
		client.Transport = http.DefaultTransport
		o.Client = &client
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.stall == 0 {
		o.stall = stall
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("cache directory: %w", err)
		}
		o.Cache = filepath.Join(dir, "slipway", "artifacts")
	}
	return o, nil
}

// lockCache waits until no other process uses the cache: both would append to the same partial downloads.
func (o CreateOptions) lockCache(ctx context.Context) (lock *localhost.Lock, err error) {
	err = retry.Do(ctx, func(context.Context) error {
		var err error
		if lock, err = localhost.Acquire(filepath.Join(o.Cache, "lock")); errors.Is(err, localhost.ErrLocked) {
			return fmt.Errorf("download cache %s: %w", o.Cache, err)
		}
		return retry.Stop(err)
	}, retry.Options{Progress: func(err error) { o.Progress(Progress{Waiting: err}) }})
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return lock, err
}

// task downloads one file or image and adds it to the bundle.
type task func(context.Context, *fetcher, *Writer) error

// plan lists the downloads. The error joins those that the catalogue does not have for an architecture.
func plan(catalogue Catalogue, release Release, addons, arches []string) ([]task, error) {
	var tasks []task
	var errs []error
	for _, arch := range arches {
		for _, name := range slices.Sorted(maps.Keys(release.Components)) {
			version := release.Components[name]
			component, err := catalogue.Component(name)
			if err != nil {
				return nil, err
			}
			sum, ok := component.SHA256[version][arch]
			if !ok {
				errs = append(errs, fmt.Errorf("%s %s for %s is not in the catalogue: choose one of %s",
					name, version, arch, strings.Join(slices.Sorted(maps.Keys(component.SHA256[version])), ", ")))
				continue
			}
			tasks = append(tasks, func(ctx context.Context, f *fetcher, w *Writer) error {
				return addComponent(ctx, f, w, component, version, arch, sum)
			})
		}
		for _, image := range release.Images {
			tasks = append(tasks, func(ctx context.Context, f *fetcher, w *Writer) error {
				return addReleaseImage(ctx, f, w, image, "", arch)
			})
		}
	}
	for _, name := range addons {
		addon, err := catalogue.Addon(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		tasks = append(tasks, addon.tasks(arches)...)
	}
	return tasks, errors.Join(errs...)
}

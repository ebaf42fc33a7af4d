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
	"sync"

	"golang.org/x/sync/errgroup"
)

// CreateOptions say which bundle is made and from where.
type CreateOptions struct {
	// Dir is the folder of the bundle. A bundle that is there is replaced when the new one is whole.
	Dir string
	// Kubernetes is a version of the catalogue, with or without its v.
	Kubernetes string
	// Addons are those of the catalogue, pod networks among them, whose images and manifests the bundle shall hold.
	Addons []string
	// Arches are the architectures in Go's words; none means amd64.
	Arches []string
	// Cache keeps what was downloaded, by sha256; empty means slipway/artifacts in the user's cache folder.
	Cache string
	// Client downloads files; its Transport is used for images too. Nil means one with the environment's proxies.
	Client *http.Client
	// Rewrites replace the beginning of URLs, the longest that fits first:
	// "https://dl.k8s.io/" by "https://mirror.example/k8s/".
	Rewrites map[string]string
	// RegistryMirrors say where the images of a registry are pulled from instead, with or without a path:
	// "registry.k8s.io" from "mirror.example:5000/k8s".
	RegistryMirrors map[string]string
	// Parallel bounds how many things are downloaded at once; 0 means 4.
	Parallel int
	// Progress is told what happens. It may be called from several goroutines.
	Progress func(Progress)
}

// Progress is the state of one download.
type Progress struct {
	// Name is a file with its version and architecture, or an image.
	Name string
	// Bytes are there of Total; Total is 0 where it is not known.
	Bytes, Total int64
	// Cached tells that the cache had it; Done that it is there, whole and verified.
	Cached, Done bool
}

// Create makes a bundle of released files and images. Every file is checked against the sum in the catalogue, every
// blob of an image against its digest. Downloads that were interrupted go on where they stopped. The error joins what
// went wrong with each of them.
func Create(ctx context.Context, o CreateOptions) (*Bundle, error) {
	catalogue, err := LoadCatalogue()
	if err != nil {
		return nil, err
	}
	return create(ctx, catalogue, o)
}

func create(ctx context.Context, catalogue Catalogue, o CreateOptions) (*Bundle, error) {
	release, err := catalogue.Release(o.Kubernetes)
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	o, err = o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	tasks, err := plan(catalogue, release, o.Addons, o.Arches)
	if err != nil {
		return nil, fmt.Errorf("create bundle: %w", err)
	}
	w, err := NewWriter(o.Dir, release.Kubernetes, OriginRelease)
	if err != nil {
		return nil, err
	}
	f := newFetcher(o)
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(o.Parallel)
	for _, do := range tasks {
		g.Go(func() error {
			if err := do(ctx, f, w); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = g.Wait() // the tasks return nil: one that fails does not stop the others
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(fmt.Errorf("create bundle: %w", err), w.Abort())
	}
	return w.Commit(ctx)
}

func (o CreateOptions) withDefaults() (CreateOptions, error) {
	if len(o.Arches) == 0 {
		o.Arches = []string{"amd64"}
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport}
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("no cache folder: %w: name one", err)
		}
		o.Cache = filepath.Join(dir, "slipway", "artifacts")
	}
	return o, nil
}

// task downloads one thing and adds it to the bundle.
type task func(context.Context, *fetcher, *Writer) error

// plan lists what must be downloaded, and reports what the catalogue does not have for an architecture.
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
				errs = append(errs, fmt.Errorf("%s %s for %s is not in the catalogue: choose another architecture", name, version, arch))
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

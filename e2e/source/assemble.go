package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/bundle"
)

// keyFile holds the key of a bundle built by this program.
const keyFile = "source.key"

// bundle returns the existing bundle with the builder's key, or builds it.
func (b *builder) bundle(ctx context.Context) (*bundle.Bundle, error) {
	target := b.out
	if target == "" {
		target = filepath.Join(b.options.cache, "bundles", b.key[:16])
	}
	if found, err := b.existing(ctx, target); err == nil {
		b.say("using the existing bundle: %s", found.Dir())
		return found, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		b.say("rebuilding %s: %v", target, err)
	}
	programs, err := b.compiled(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.checkKubeadm(ctx, filepath.Join(programs["kubernetes"], "kubeadm")); err != nil {
		return nil, err
	}
	built, err := b.assemble(ctx, target, programs)
	if err != nil {
		return nil, err
	}
	b.say("done: %s", built.Dir())
	return built, nil
}

// existing opens the bundle in target if it has the same key, and verifies it.
func (b *builder) existing(ctx context.Context, target string) (*bundle.Bundle, error) {
	key, err := os.ReadFile(filepath.Join(target, keyFile))
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(key)) != b.key {
		return nil, errors.New("built from other inputs")
	}
	found, err := bundle.Open(target)
	if err != nil {
		return nil, err
	}
	return found, found.Verify(ctx)
}

// compiled is programs with a build cache that is deleted unless every test shares it.
func (b *builder) compiled(ctx context.Context) (map[string]string, error) {
	remove, err := b.ownGoCache()
	if err != nil {
		return nil, err
	}
	programs, err := b.programs(ctx)
	if err != nil {
		return nil, err
	}
	return programs, remove()
}

// programs builds every component and returns their directories.
func (b *builder) programs(ctx context.Context) (map[string]string, error) {
	fetching, stop := context.WithCancel(ctx)
	var fetch sync.Once
	var fetched sync.WaitGroup
	defer fetched.Wait()
	defer stop()
	all := b.components()
	dirs := make([]string, len(all))
	build := func(ctx context.Context, i int) (err error) {
		c := all[i]
		dirs[i], err = b.cache.entry(c.name, b.keys[c.name], func(dir string) error {
			// Download the modules of the later components during this build.
			fetch.Do(func() { fetched.Go(func() { b.fetch(fetching, all[i+1:]) }) })
			b.say("%s %s: building %d commands", c.name, b.versions[c.name], len(c.packages))
			return compile(ctx, c, b.moduleDir(c), b.versions[c.name], b.tc.arch, dir)
		})
		return err
	}
	// The first compiles most of the packages that components share. The others are built two at a time, because
	// linking uses one processor.
	if err := build(ctx, 0); err != nil {
		return nil, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i := 1; i < len(all); i++ {
		group.Go(func() error { return build(groupCtx, i) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	programs := map[string]string{}
	for i, c := range all {
		programs[c.name] = dirs[i]
	}
	var err error
	if programs["pause"], err = b.pause(ctx); err != nil {
		return nil, err
	}
	if slices.Contains(b.options.addons, calicoAddon) {
		programs["runit"], err = b.runit(ctx)
	}
	return programs, err
}

// pause builds the program of the pause image and returns its directory.
func (b *builder) pause(ctx context.Context) (string, error) {
	source := filepath.Join(b.dir, "pause", "pause.c")
	sum, err := fileSum(source)
	if err != nil {
		return "", err
	}
	return b.cache.entry("pause", digest(sum, b.tc.c, b.tc.arch), func(dir string) error {
		return compilePause(ctx, b.tc.compiler, source, filepath.Join(dir, "pause"))
	})
}

// assemble writes the bundle.
func (b *builder) assemble(ctx context.Context, target string, programs map[string]string) (*bundle.Bundle, error) {
	w, err := bundle.NewWriter(target, b.release.Kubernetes, bundle.OriginSource)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(b.addFiles(ctx, w, programs), b.addImages(ctx, w, programs), b.addManifests(ctx, w)); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	b.say("verifying the bundle")
	written, err := w.Commit(ctx)
	if err != nil {
		return nil, err
	}
	return written, os.WriteFile(filepath.Join(written.Dir(), keyFile), []byte(b.key+"\n"), 0o644)
}

// addFiles adds the binaries of the release.
func (b *builder) addFiles(ctx context.Context, w *bundle.Writer, programs map[string]string) error {
	b.say("adding binaries")
	for _, name := range slices.Sorted(maps.Keys(b.release.Components)) {
		component, err := b.catalogue.Component(name)
		if err != nil {
			return err
		}
		for _, file := range component.Files() {
			local := filepath.Join(programs[builtFrom(name)], path.Base(file))
			f, err := os.Open(local)
			if err != nil {
				return err
			}
			err = w.AddFile(ctx, bundle.File{
				Name: file, Version: b.release.Components[name], OS: "linux", Arch: b.tc.arch,
				Path: bundle.BinPath("linux", b.tc.arch, file), Roles: component.Roles,
			}, f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// addManifests adds the manifests of addons from their modules.
func (b *builder) addManifests(ctx context.Context, w *bundle.Writer) error {
	for _, addon := range b.addons {
		for _, m := range addon.Manifests {
			if err := b.addManifest(ctx, w, addon, m); err != nil {
				return fmt.Errorf("addon %s: %s: %w", addon.Name, m.Name, err)
			}
		}
	}
	return nil
}

func (b *builder) addManifest(ctx context.Context, w *bundle.Writer, addon bundle.Addon, m bundle.AddonManifest) error {
	local, err := b.published(ctx, addon, m)
	if err != nil {
		return err
	}
	sum, err := fileSum(local)
	if err != nil {
		return err
	}
	if sum != m.SHA256 {
		return &bundle.CorruptError{Path: local, Want: "sha256:" + m.SHA256, Got: "sha256:" + sum}
	}
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.AddManifest(ctx, bundle.AddonFile{Addon: addon.Name, Name: m.Name, Version: addon.Version}, f)
}

// published returns the path of a manifest in the module of the addon's component. PATH comes from the URL
// https://raw.githubusercontent.com/OWNER/NAME/VERSION/PATH.
func (b *builder) published(ctx context.Context, addon bundle.Addon, m bundle.AddonManifest) (string, error) {
	i := slices.IndexFunc(b.components(), func(c component) bool { return c.addon == addon.Name })
	_, inRepository, ok := strings.Cut(m.URL, "/"+addon.Version+"/")
	if i < 0 || !ok {
		return "", fmt.Errorf("no module for %s", m.URL)
	}
	c := b.components()[i]
	if c.upstream {
		return b.upstreamManifest(addon, m)
	}
	source, err := b.moduleSource(ctx, c.name)
	return filepath.Join(source, filepath.FromSlash(inRepository)), err
}

// wantedImage is an image of pins.yaml with its addon.
type wantedImage struct {
	bundle.ReleaseImage
	addon string
}

// images returns the images of the release and of the addons.
func (b *builder) images() []wantedImage {
	var all []wantedImage
	for _, image := range b.release.Images {
		all = append(all, wantedImage{image, ""})
	}
	for _, addon := range b.addons {
		for _, image := range addon.Images {
			all = append(all, wantedImage{image, addon.Name})
		}
	}
	return all
}

// addImages builds and adds the images of the release and of the addons.
func (b *builder) addImages(ctx context.Context, w *bundle.Writer, programs map[string]string) error {
	tmp, err := os.MkdirTemp("", "slipway-source-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	bases, err := b.baseLayers(ctx, tmp)
	if err != nil {
		return err
	}
	specs := imageSpecs()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // compression uses several processors
	for i, image := range b.images() {
		spec, ok := specFor(specs, image.Name)
		if !ok {
			return fmt.Errorf("image %s: no imageSpec", image.Name)
		}
		g.Go(func() error {
			content := spec.layer(programs)
			if err := b.addScripts(ctx, content, spec); err != nil {
				return err
			}
			layer, err := newLayer(content, tmp, fmt.Sprint(i))
			if err != nil {
				return err
			}
			built, err := newImage(spec, b.tc.arch, bases.labels[spec.debian], bases.layers[spec.debian], layer)
			if err != nil {
				return err
			}
			if err := w.AddImage(ctx, bundle.Image{Name: image.Name, Arch: b.tc.arch, Roles: image.Roles, Addon: image.addon}, built); err != nil {
				return err
			}
			b.say("image %s", image.Name)
			return nil
		})
	}
	return g.Wait()
}

// bases are the lowest layers of images, with Debian packages (true) and without (false).
type bases struct {
	layers map[bool]v1.Layer
	labels map[bool]map[string]string
}

func (b *builder) baseLayers(ctx context.Context, tmp string) (bases, error) {
	base := bases{layers: map[bool]v1.Layer{}, labels: map[bool]map[string]string{}}
	dir, err := b.debianBase(ctx)
	if err != nil {
		return bases{}, err
	}
	packages, err := os.ReadFile(filepath.Join(dir, debianList))
	if err != nil {
		return bases{}, err
	}
	base.labels[true] = map[string]string{"io.slipway.debian-packages": strings.Join(strings.Fields(string(packages)), " ")}
	if base.layers[true], err = layerOf(filepath.Join(dir, debianTar)); err != nil {
		return bases{}, err
	}
	base.layers[false], err = newLayer(foundation(), tmp, "foundation")
	return base, err
}

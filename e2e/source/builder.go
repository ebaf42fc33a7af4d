package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"

	"slipway.io/slipway/provision/bundle"
)

// builder holds the inputs of a bundle.
type builder struct {
	options
	// dir is the directory of this program.
	dir       string
	tc        toolchain
	catalogue bundle.Catalogue
	release   bundle.Release
	// addons to include.
	addons []bundle.Addon
	// versions and keys of the components, by name.
	versions, keys map[string]string
	// key of the bundle.
	key   string
	cache cache
	say   func(format string, args ...any)
}

func newBuilder(ctx context.Context, o options, log io.Writer) (*builder, error) {
	b := &builder{options: o, say: newProgress(log).say, versions: map[string]string{}, keys: map[string]string{}}
	b.cache = cache{dir: filepath.Join(o.cache, "builds"), say: b.say}
	var err error
	if b.tc, err = toolsFor(ctx, o, b.say); err != nil {
		return nil, err
	}
	if b.dir, err = output(ctx, "go", "list", "-f", "{{.Dir}}", "slipway.io/slipway/e2e/source"); err != nil {
		return nil, fmt.Errorf("run this in slipway's source: %w", err)
	}
	if err := b.chooseVersion(); err != nil {
		return nil, err
	}
	if b.catalogue, err = bundle.LoadCatalogue(); err != nil {
		return nil, err
	}
	for _, c := range b.components() {
		file := cmp.Or(c.modfile, filepath.Join(b.moduleDir(c), "go.mod"))
		if b.versions[c.name], err = requiredVersion(file, c.module); err != nil {
			return nil, err
		}
		if b.keys[c.name], err = componentKey(c, b.moduleDir(c), b.versions[c.name], b.tc); err != nil {
			return nil, err
		}
	}
	if b.release, err = b.wantedRelease(); err != nil {
		return nil, err
	}
	for _, name := range o.addons {
		addon, err := b.catalogue.Addon(name)
		if err != nil {
			return nil, err
		}
		b.addons = append(b.addons, addon)
	}
	if err := checkPins(b.release, b.addons, b.versions); err != nil {
		return nil, err
	}
	code, err := builderDigest(ctx, b.dir)
	if err != nil {
		return nil, err
	}
	b.key = bundleKey(code, b.tc, b.keys)
	return b, nil
}

// wantedRelease returns the release that the components make.
func (b *builder) wantedRelease() (bundle.Release, error) {
	if b.kubernetes == "" {
		return b.catalogue.Release(b.versions["kubernetes"])
	}
	own, err := b.ownVersion()
	if err != nil {
		return bundle.Release{}, err
	}
	base, err := b.catalogue.Release(own)
	if err != nil {
		return bundle.Release{}, err
	}
	return otherVersions()[b.kubernetes].release(base, b.versions)
}

// ownVersion returns the version of Kubernetes in modules/.
func (b *builder) ownVersion() (string, error) {
	return moduleVersion(filepath.Join(b.dir, "modules", "kubernetes"), "k8s.io/kubernetes")
}

// chooseVersion checks the version of the command line. The one of modules/ is no other version.
func (b *builder) chooseVersion() error {
	own, err := b.ownVersion()
	if err != nil {
		return err
	}
	if b.kubernetes == own {
		b.kubernetes = ""
	}
	if _, known := otherVersions()[b.kubernetes]; !known && b.kubernetes != "" {
		return fmt.Errorf("kubernetes %s cannot be built from source: choose one of %s", b.kubernetes, choices(own))
	}
	return nil
}

// components returns the components to build.
func (b *builder) components() []component {
	return forVersion(selected(b.options.addons), b.dir, b.kubernetes)
}

func (b *builder) moduleDir(c component) string { return filepath.Join(b.dir, "modules", c.name) }

package main

import (
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
	dir string
	tc  toolchain
	// catalogue has the names and roles of files.
	catalogue bundle.Catalogue
	release   bundle.Release
	// addons to include.
	addons []bundle.Addon
	// other is the version of Kubernetes if it is not the one in modules/.
	other string
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
	if b.catalogue, err = bundle.LoadCatalogue(); err != nil {
		return nil, err
	}
	for _, c := range b.components() {
		if b.versions[c.name], err = moduleVersion(b.moduleDir(c), c.module); err != nil {
			return nil, err
		}
		if b.keys[c.name], err = componentKey(c, b.moduleDir(c), b.versions[c.name], b.tc); err != nil {
			return nil, err
		}
	}
	declared, err := loadPins()
	if err != nil {
		return nil, err
	}
	b.release = declared.Release
	for _, name := range o.addons {
		addon, err := declared.addon(name)
		if err != nil {
			return nil, err
		}
		b.addons = append(b.addons, addon)
	}
	if err := b.useVersion(o.kubernetes); err != nil {
		return nil, err
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

// components returns the components to build.
func (b *builder) components() []component {
	return forVersion(selected(b.options.addons), b.dir, b.other)
}

func (b *builder) moduleDir(c component) string { return filepath.Join(b.dir, "modules", c.name) }

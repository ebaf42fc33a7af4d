package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of the cached base.
const (
	debianTar  = "base.tar"
	debianList = "packages"
)

// debianBase builds the base of images that need Debian's packages, once for each release of Debian and version of this
// code. Its packages are the latest ones, because Debian keeps no older ones to pin. A label of the images lists them.
func (b *builder) debianBase(ctx context.Context) (string, error) {
	code, err := filesDigest(b.dir, func(p string) bool {
		return slices.Contains([]string{"debian.go", "debianbase.go", "layer.go", "images.go"}, p)
	})
	if err != nil {
		return "", err
	}
	return b.cache.entry("debian-base", digest(code, b.tc.debian, b.tc.arch), func(dir string) error {
		b.say("debian-base: packages of %s with iptables and nftables", b.tc.debian)
		tmp, err := os.MkdirTemp("", "slipway-debs-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		if err := downloadDebs(ctx, b.tc.apt, tmp, debianPackages()); err != nil {
			return err
		}
		t, err := unpackDebs(ctx, tmp)
		if err != nil {
			return err
		}
		commands, err := b.busyboxCommands(ctx, t, tmp)
		if err != nil {
			return err
		}
		linkCommands(t, commands)
		for name, e := range foundation() {
			t.add(name, e)
		}
		if err := checkLibraries(t); err != nil {
			return err
		}
		if err := writePackageList(tmp, filepath.Join(dir, debianList)); err != nil {
			return err
		}
		return writeTree(t, filepath.Join(dir, debianTar))
	})
}

// writePackageList writes the names and versions of the packages in debs.
func writePackageList(debs, file string) error {
	names, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range names {
		text.WriteString(strings.TrimSuffix(filepath.Base(name), ".deb") + "\n")
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}

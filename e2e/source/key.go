package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// digest hashes a list of strings without ambiguity.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s\n", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// componentKey changes with every input of the component's binaries.
func componentKey(c component, moduleDir, version string, tc toolchain) (string, error) {
	files, err := filesDigest(moduleDir, func(string) bool { return true })
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.name, err)
	}
	parts := []string{"component 1", c.name, files, tc.golang, tc.arch}
	if c.cgo {
		parts = append(parts, tc.c)
	}
	if c.modfile != "" {
		for _, file := range []string{c.modfile, sumfile(c.modfile)} {
			sum, err := fileSum(file)
			if err != nil {
				return "", fmt.Errorf("%s: %w", c.name, err)
			}
			parts = append(parts, sum)
		}
	}
	parts = append(parts, c.arguments(version)...)
	return digest(append(parts, c.environment(tc.arch)...)...), nil
}

// filesDigest hashes the names and contents of the wanted files under dir.
func filesDigest(dir string, want func(slashPath string) bool) (string, error) {
	var parts []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !want(p) {
			return err
		}
		sum, err := fileSum(filepath.Join(dir, filepath.FromSlash(p)))
		parts = append(parts, p, sum)
		return err
	})
	if err != nil {
		return "", err
	}
	if len(parts) == 0 {
		return "", fmt.Errorf("%s has no files", dir)
	}
	return digest(parts...), nil
}

// fileSum returns the sha256 of a file in hex.
func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// builderFiles lists the files of this module that the builder is compiled from.
const builderFiles = `{{if and .Module .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}
{{end}}{{end}}`

// builderDigest hashes the code that assembles a bundle: this command, and the packages of this module that it imports.
func builderDigest(ctx context.Context, sourceDir string) (string, error) {
	list, err := output(ctx, "go", "-C", sourceDir, "list", "-deps", "-f", builderFiles, ".")
	if err != nil {
		return "", err
	}
	var parts []string
	for _, file := range append(strings.Split(strings.TrimSpace(list), "\n"), filepath.Join(sourceDir, "pause", "pause.c")) {
		if file == "" { // between packages
			continue
		}
		name, err := filepath.Rel(sourceDir, file)
		if err != nil {
			return "", err
		}
		sum, err := fileSum(file)
		if err != nil {
			return "", err
		}
		parts = append(parts, filepath.ToSlash(name), sum)
	}
	return digest(parts...), nil
}

// bundleKey changes with every input of the bundle.
func bundleKey(builder string, tc toolchain, components map[string]string) string {
	parts := []string{"bundle 1", builder, tc.golang, tc.c, tc.debian, tc.arch}
	names := make([]string, 0, len(components))
	for name := range components {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, name, components[name])
	}
	return digest(parts...)
}

// moduleVersion returns the version of a module in the go.mod of moduleDir.
func moduleVersion(moduleDir, module string) (string, error) {
	return requiredVersion(filepath.Join(moduleDir, "go.mod"), module)
}

// requiredVersion returns the version of a module in a file in the format of go.mod.
func requiredVersion(file, module string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	mod, err := modfile.Parse(file, data, nil)
	if err != nil {
		return "", err
	}
	for _, r := range mod.Require {
		if r.Mod.Path == module {
			return r.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", file, module)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// standardLibrary is the path of the module of the standard library, as in a package
// URL. It includes the runtime.
const standardLibrary = "std"

// A module is code of others that is in the programs of a release.
type module struct {
	path    string
	version string // empty for the standard library, whose version the build decides
	// texts are the licenses that apply to the linked packages, and notices are the
	// files that the Apache License requires to be reproduced.
	texts, notices []text
}

// A text is a file with a license or a notice.
type text struct {
	file    string // below the directory of the module, with slashes
	content string
}

func (m module) String() string {
	if m.path == standardLibrary {
		return "Go standard library"
	}
	return m.path + " " + m.version
}

// A listedPackage is a line of the output of go list.
type listedPackage struct {
	importPath, dir            string
	module, version, moduleDir string // empty in the standard library
}

// listFormat prints a listedPackage. The packages of the module itself have no version.
const listFormat = "{{.ImportPath}}\t{{.Dir}}\t{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{else}}\t\t{{end}}"

// list returns the packages that are linked into the programs of the target. It reads
// the module cache, and only downloads what is missing there.
func list(ctx context.Context, root string, t target) ([]listedPackage, error) {
	command := exec.CommandContext(ctx, "go", append([]string{"list", "-buildvcs=false", "-deps", "-f", listFormat}, t.programs()...)...)
	command.Dir, command.Env = root, t.env()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages for %s: %w: %s", t, err, bytes.TrimSpace(stderr.Bytes()))
	}
	var packages []listedPackage
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			return nil, fmt.Errorf("list the packages for %s: unexpected line %q", t, line)
		}
		packages = append(packages, listedPackage{f[0], f[1], f[2], f[3], f[4]})
	}
	return packages, nil
}

// linked are the packages in the programs of a release: what others wrote, by module,
// and the directories of the packages of slipway.
type linked struct {
	modules []module
	own     []string
}

// linkedPackages collects the packages of all targets, and the licenses of each.
func linkedPackages(ctx context.Context, root string) (linked, error) {
	lists := make([][]listedPackage, len(targets))
	group, ctx := errgroup.WithContext(ctx)
	for i, t := range targets {
		group.Go(func() (err error) {
			lists[i], err = list(ctx, root, t)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return linked{}, err
	}
	var result linked
	found := map[string]*collector{}
	seen := map[string]bool{}
	for _, p := range slices.Concat(lists...) {
		if seen[p.dir] {
			continue
		}
		seen[p.dir] = true
		switch {
		case p.module == "":
			// The files of GOROOT apply to all packages of the standard library.
			p.module, p.moduleDir = standardLibrary, strings.TrimSuffix(p.dir, filepath.FromSlash("/src/"+p.importPath))
			p.dir = p.moduleDir
		case p.version == "":
			result.own = append(result.own, p.dir)
			continue
		}
		if found[p.module] == nil {
			found[p.module] = &collector{module: module{path: p.module, version: p.version}, root: p.moduleDir}
		}
		if err := found[p.module].add(p.dir); err != nil {
			return linked{}, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		m := found[name].module
		if len(m.texts) == 0 {
			return linked{}, fmt.Errorf("%s has no license in %s", m, found[name].root)
		}
		result.modules = append(result.modules, m)
	}
	return result, nil
}

// A collector reads the licenses and notices that apply to packages of a module: those
// in the directory of a package, and in the directories above it.
type collector struct {
	module
	root string
	seen []string
}

var (
	licenseFile = regexp.MustCompile(`(?i)^(un)?(licen[sc]e|copying|copyright|patents)([-.].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^notice([-.].*)?$`)
	// LICENSE.docs is about documentation.
	otherFile = regexp.MustCompile(`(?i)\.(go|docs|ya?ml|json)$`)
)

func (c *collector) add(dir string) error {
	if slices.Contains(c.seen, dir) {
		return nil
	}
	c.seen = append(c.seen, dir)
	if dir != c.root {
		if err := c.add(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the licenses of %s: %w", c.path, err)
	}
	below, err := filepath.Rel(c.root, dir)
	if err != nil {
		return fmt.Errorf("read the licenses of %s: %w", c.path, err)
	}
	for _, entry := range entries {
		name := entry.Name()
		isLicense, isNotice := licenseFile.MatchString(name), noticeFile.MatchString(name)
		if entry.IsDir() || otherFile.MatchString(name) || !isLicense && !isNotice {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("read the licenses of %s: %w", c.path, err)
		}
		read := text{path.Join(filepath.ToSlash(below), name), tidy(string(content))}
		if isNotice {
			c.notices = append(c.notices, read)
		} else {
			c.texts = append(c.texts, read)
		}
	}
	return nil
}

// tidy removes carriage returns, spaces at the end of lines, and empty lines around
// the text.
func tidy(content string) string {
	var lines []string
	for line := range strings.Lines(content) {
		lines = append(lines, strings.TrimRight(line, " \t\r\n\f"))
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
}

// moduleRoot finds the directory of go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		case dir == filepath.Dir(dir):
			return "", errors.New("no go.mod in this directory or above it")
		}
		dir = filepath.Dir(dir)
	}
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sumsFile lists the files of a cache entry in the format of sha256sum.
const sumsFile = "SHA256SUMS"

// cache holds a directory of build results for each name and key, verified before use.
type cache struct {
	dir string
	say func(format string, args ...any)
}

// entry returns the directory for a name and key. If it is missing or corrupt, build writes the files into an empty
// directory.
func (c cache) entry(name, key string, build func(dir string) error) (string, error) {
	dir := filepath.Join(c.dir, name+"-"+key[:16])
	err := checkSums(dir)
	if err == nil {
		c.say("%s: from the cache", name)
		return dir, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.say("%s: the cached build is corrupt (%v), rebuilding it", name, err)
	} else if _, statErr := os.Stat(dir); statErr == nil {
		c.say("%s: the cached build is incomplete (%v), rebuilding it", name, err)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(c.dir, ".partial-"+name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := build(tmp); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := writeSums(tmp); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

// writeSums writes the sums of all files in a flat directory.
func writeSums(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, e := range entries {
		sum, err := fileSum(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(dir, sumsFile), []byte(text.String()), 0o644)
}

// checkSums verifies every listed file.
func checkSums(dir string) error {
	f, err := os.Open(filepath.Join(dir, sumsFile))
	if err != nil {
		return err
	}
	defer f.Close()
	sums := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || name != filepath.Base(name) {
			return fmt.Errorf("%s: invalid line %q", sumsFile, lines.Text())
		}
		sums[name] = sum
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if len(sums) == 0 {
		return fmt.Errorf("%s is empty", sumsFile)
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		got, err := fileSum(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if got != sums[name] {
			return fmt.Errorf("%s is corrupt: want sha256:%s, got sha256:%s", name, sums[name], got)
		}
	}
	return nil
}

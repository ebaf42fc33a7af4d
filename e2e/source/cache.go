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

// sumsFile lists the files of a cache entry as sha256sum does.
const sumsFile = "SHA256SUMS"

// cache keeps what was built: one folder for a name and key, whose files are checked before they are used.
type cache struct {
	dir string
	say func(format string, args ...any)
}

// entry is the folder of what is called name and made from what key stands for. If it is not there or is damaged,
// make fills an empty folder with its files.
func (c cache) entry(name, key string, make func(dir string) error) (string, error) {
	dir := filepath.Join(c.dir, name+"-"+key[:16])
	err := checkSums(dir)
	if err == nil {
		c.say("%s: from the cache", name)
		return dir, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.say("%s: the cached build is damaged (%v), building it again", name, err)
	} else if _, statErr := os.Stat(dir); statErr == nil {
		c.say("%s: the cached build is incomplete (%v), building it again", name, err)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(c.dir, ".making-"+name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := make(tmp); err != nil {
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

// writeSums records the sums of all files in a flat folder.
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

// checkSums compares every recorded file with its sum.
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
			return fmt.Errorf("%s: cannot read the line %q", sumsFile, lines.Text())
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
			return fmt.Errorf("%s has sha256 %s, recorded was %s", name, got, sums[name])
		}
	}
	return nil
}

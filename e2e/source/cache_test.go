package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const aKey = "0123456789abcdef0123456789abcdef"

// testCache is a cache and what it said.
func testCache(t *testing.T) (c cache, said *strings.Builder) {
	t.Helper()
	said = &strings.Builder{}
	return cache{dir: t.TempDir(), say: func(format string, args ...any) { fmt.Fprintf(said, format+"\n", args...) }}, said
}

func TestCacheBuildsOnceAndChecksBeforeUse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil  func(t *testing.T, dir string)
		builds int
		says   string
	}{
		"an entry that is whole is used": {func(*testing.T, string) {}, 1, "from the cache"},
		"a changed file is rebuilt": {func(t *testing.T, dir string) {
			write(t, dir, "runc", "tampered with")
		}, 2, "corrupt"},
		"a missing file is built again": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "runc")); err != nil {
				t.Fatal(err)
			}
		}, 2, "incomplete"},
		"an entry without sums is built again": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, sumsFile)); err != nil {
				t.Fatal(err)
			}
		}, 2, "incomplete"},
		"empty sums are rejected": {func(t *testing.T, dir string) {
			write(t, dir, sumsFile, "")
		}, 2, "corrupt"},
		"sums of files elsewhere are rejected": {func(t *testing.T, dir string) {
			write(t, dir, sumsFile, "00  ../runc\n")
		}, 2, "corrupt"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, said := testCache(t)
			builds := 0
			build := func(dir string) error {
				builds++
				return os.WriteFile(filepath.Join(dir, "runc"), []byte("runc"), 0o700)
			}
			dir, err := c.entry("runc", aKey, build)
			if err != nil {
				t.Fatal(err)
			}
			test.spoil(t, dir)
			if dir, err = c.entry("runc", aKey, build); err != nil {
				t.Fatal(err)
			}
			if builds != test.builds {
				t.Errorf("it was built %d times, want %d", builds, test.builds)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "runc")); err != nil || string(got) != "runc" {
				t.Errorf("the cached file is %q, %v", got, err)
			}
			if !strings.Contains(said.String(), test.says) {
				t.Errorf("got %q, want %q in it", said, test.says)
			}
		})
	}
}

func TestAFailedBuildIsNotCached(t *testing.T) {
	t.Parallel()
	c, _ := testCache(t)
	broken := errors.New("does not compile")
	if _, err := c.entry("runc", aKey, func(dir string) error {
		write(t, dir, "half", "x")
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("the cache holds %v, %v", entries, err)
	}
}

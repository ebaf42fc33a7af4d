package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// ownGoCache gives the compilers a build cache of their own if the bundle has another version or architecture than that
// of every test, and returns a function that deletes it. A build of Kubernetes leaves gigabytes, which nothing else uses.
// A build that fails or is interrupted keeps the directory, and the next one continues with it.
func (b *builder) ownGoCache() (func() error, error) {
	if b.other == "" && b.tc.arch == runtime.GOARCH {
		return func() error { return nil }, nil
	}
	dir := filepath.Join(b.options.cache, "gocache-"+b.versions["kubernetes"]+"-"+b.tc.arch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	before, set := os.LookupEnv("GOCACHE")
	if err := os.Setenv("GOCACHE", dir); err != nil {
		return nil, err
	}
	return func() error {
		restore := os.Unsetenv("GOCACHE")
		if set {
			restore = os.Setenv("GOCACHE", before)
		}
		return errors.Join(restore, os.RemoveAll(dir))
	}, nil
}

package container

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"slipway.io/slipway/provision/localhost"
)

// ensureCached builds a directory that all labs share unless it is complete. The name
// of the directory is the key of its content. build fills a temporary directory, which
// is renamed when complete; what it does is said to those who wait for it.
func (s *session) ensureCached(ctx context.Context, dir, what string, build func(temp string) error) error {
	key := filepath.Base(dir)
	if complete(dir, key) {
		return nil
	}
	lock, err := s.lockShared(ctx, dir+".lock", "another lab to "+what)
	if err != nil {
		return err
	}
	defer lock.Release()
	if complete(dir, key) {
		return nil
	}
	temp, err := newTempDir(dir)
	if err != nil {
		return err
	}
	if err := build(temp); err != nil {
		return err
	}
	if err := localhost.WriteFile(filepath.Join(temp, "complete"), []byte(key+"\n"), 0o644); err != nil {
		return err
	}
	// An incomplete directory is of no use.
	if err := removeTree(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// complete reports whether the build of a directory reached its last step.
func complete(dir, key string) bool {
	marker, err := os.ReadFile(filepath.Join(dir, "complete"))
	return err == nil && strings.TrimSpace(string(marker)) == key
}

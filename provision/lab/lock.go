package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"slipway.io/slipway/provision/localhost"
)

// WithLock runs work while the lab of a directory is locked and loaded. A lab that
// does not exist is ErrNotFound; with create, its directory is created empty. Errors
// of work contain the name of the lab.
func WithLock(dir string, create bool, load func() error, work func() (*Lab, error)) (*Lab, error) {
	name := filepath.Base(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && !create {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	lock, err := localhost.Acquire(dir + ".lock")
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	defer lock.Release()
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := load(); err != nil && (!create || !errors.Is(err, ErrNotFound)) {
		return nil, err
	}
	l, err := work()
	if err != nil {
		return l, fmt.Errorf("lab %s: %w", name, err)
	}
	return l, nil
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// errLocked: another process has the lock.
var errLocked = errors.New("in use by another slipway")

// lock keeps two slipways from working on one lab at once. The kernel gives it
// up when its process ends, however that comes.
type lock struct {
	file *os.File
	path string
}

// acquire takes the lock, or says who has it. It does not wait.
func acquire(path string) (*lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lockFile(file); err != nil {
			file.Close()
			if !errors.Is(err, errLocked) {
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			holder, _ := os.ReadFile(path)
			return nil, fmt.Errorf("%w (%s)", errLocked, strings.TrimSpace(string(holder)))
		}
		// The former holder may have removed the file between the two.
		if !sameFile(file, path) {
			file.Close()
			continue
		}
		who := fmt.Sprintf("pid %d since %s\n", os.Getpid(), time.Now().Format(time.RFC3339))
		if err := errors.Join(file.Truncate(0), writeAt(file, who)); err != nil {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return &lock{file: file, path: path}, nil
	}
}

// awaitLock waits for what another lab does for both, and says so.
func (s *session) awaitLock(ctx context.Context, path, condition string) (*lock, error) {
	var held *lock
	var told bool
	err := await(ctx, condition, 30*time.Minute, func(context.Context) (bool, string, error) {
		var err error
		if held, err = acquire(path); errors.Is(err, errLocked) {
			if !told {
				s.say("", "waits until %s: %v", condition, err)
				told = true
			}
			return false, err.Error(), nil
		}
		return err == nil, "", err
	})
	return held, err
}

func writeAt(file *os.File, content string) error {
	_, err := file.WriteAt([]byte(content), 0)
	return err
}

func sameFile(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(opened, named)
}

// release removes the file while it is still locked, then lets go of it. Whoever
// opened it before sees that it is no longer the one at its path.
func (l *lock) release() {
	os.Remove(l.path)
	l.file.Close()
}

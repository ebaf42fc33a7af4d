package localhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrLocked: another process has the lock.
var ErrLocked = errors.New("in use by another slipway")

// Lock keeps two slipways from working on one lab at once. The kernel gives it
// up when its process ends, however that comes.
type Lock struct {
	file *os.File
	path string
}

// Acquire takes the lock, or says who has it. It does not wait.
func Acquire(path string) (*Lock, error) {
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
			if !errors.Is(err, ErrLocked) {
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			holder, _ := os.ReadFile(path)
			return nil, fmt.Errorf("%w (%s)", ErrLocked, strings.TrimSpace(string(holder)))
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
		return &Lock{file: file, path: path}, nil
	}
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

// Release removes the file while it is still locked, then lets go of it. Whoever
// opened it before sees that it is no longer the one at its path.
func (l *Lock) Release() {
	os.Remove(l.path)
	l.file.Close()
}

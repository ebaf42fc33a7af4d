package localhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrLocked reports a lock that another process holds.
var ErrLocked = errors.New("in use by another slipway")

// Lock is an exclusive lock on a file, which the kernel releases when the process
// ends. The file stays: without it, two processes could lock two files of the
// same name.
type Lock struct{ file *flock.Flock }

// Acquire takes the lock without waiting. If another process holds it, the error
// is ErrLocked and names that process, where the system lets others read a locked
// file.
func Acquire(path string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR))
	locked, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		holder, err := os.ReadFile(path)
		if err != nil || len(holder) == 0 {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("%w (%s)", ErrLocked, strings.TrimSpace(string(holder)))
	}
	// For people only, and refused on Windows: an error does not matter.
	_ = os.WriteFile(path, fmt.Appendf(nil, "pid %d since %s\n", os.Getpid(), time.Now().Format(time.RFC3339)), 0o600)
	return &Lock{file}, nil
}

// Release releases the lock.
func (l *Lock) Release() { _ = l.file.Close() }

//go:build linux || darwin

package localhost

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes an exclusive lock without waiting; ErrLocked if it is taken.
func lockFile(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

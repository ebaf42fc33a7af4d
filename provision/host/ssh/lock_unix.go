//go:build unix

package ssh

import (
	"os"
	"syscall"
)

// lockFile waits for the lock of the file. Closing the file releases it.
func lockFile(file *os.File) error { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX) }

package lab

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// capSysResource is CAP_SYS_RESOURCE of linux/capability.h.
const capSysResource = 24

func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a lab of machine containers needs root: run it with sudo")
	}
	return nil
}

// lockFile takes an exclusive lock without waiting; errLocked if it is taken.
func lockFile(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// ownSession makes a command outlive this process and its terminal.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// ownGroup makes the end of a context end a command with all its children, and
// the end of this process end the command: what a killed run left behind must
// not write under the hands of the next one. The kernel looks at the thread
// that started the command, so that the caller must stay on its own.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

func terminate(pid int) error { return signal(pid, syscall.SIGTERM) }

func kill(pid int) error { return signal(pid, syscall.SIGKILL) }

// signal does not mind a process that ended meanwhile.
func signal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func unmount(path string) error { return syscall.Unmount(path, 0) }

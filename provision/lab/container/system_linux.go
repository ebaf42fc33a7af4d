package container

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
		return errors.New("machine containers need root: run slipway with sudo")
	}
	return nil
}

// ownSession lets a command outlive this process and its terminal.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func terminate(pid int) error { return signal(pid, syscall.SIGTERM) }

func kill(pid int) error { return signal(pid, syscall.SIGKILL) }

// signal ignores a process that has ended.
func signal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func unmount(path string) error { return syscall.Unmount(path, 0) }

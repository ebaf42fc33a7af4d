package localhost

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the end of a context end a command with all its children, and
// the end of this process end the command: what a killed run left behind must
// not write under the hands of the next one. The kernel looks at the thread
// that started the command, so that the caller must stay on its own.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

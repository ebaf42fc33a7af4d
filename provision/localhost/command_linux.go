package localhost

import (
	"os/exec"
	"syscall"
)

// endWithParent ends a command and its children with the context, and the command
// with this process: one that outlives a killed slipway would disturb the next
// run. The signal comes when the thread that started the command ends
// (PR_SET_PDEATHSIG), so the caller locks its thread.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

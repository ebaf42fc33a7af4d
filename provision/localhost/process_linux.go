package localhost

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// CurrentProcess identifies this process; the zero value if /proc does not describe
// it.
func CurrentProcess() Process {
	pid := os.Getpid()
	// They differ if /proc belongs to another PID namespace.
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(pid) {
		return Process{}
	}
	boot, noBoot := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, noNamespace := os.Readlink("/proc/self/ns/pid")
	_, started, noStart := readStat(pid)
	if noBoot != nil || noNamespace != nil || noStart != nil {
		return Process{}
	}
	// A container may have no machine ID. The boot ID tells computers apart, too.
	machine, _ := os.ReadFile("/etc/machine-id")
	// Machine IDs are confidential: machine-id(5) asks for a hash.
	sum := sha256.Sum256(fmt.Appendf(nil, "slipway\n%s%s%s", machine, boot, namespace))
	return Process{Computer: hex.EncodeToString(sum[:]), PID: pid, Started: started}
}

// ended asks the kernel first: /proc may hide the processes of other users
// (hidepid).
func ended(p Process) bool {
	if errors.Is(syscall.Kill(p.PID, 0), syscall.ESRCH) {
		return true
	}
	state, started, err := readStat(p.PID)
	return err == nil && (started != p.Started || state == "Z" || state == "X")
}

// readStat returns the state of a process, and its start time in clock ticks since
// boot.
func readStat(pid int) (state, started string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", err
	}
	return parseStat(text)
}

// parseStat reads fields 3 and 22 of proc_pid_stat(5). Field 2 is the name of the
// program in parentheses, and may contain spaces and parentheses.
func parseStat(text []byte) (state, started string, err error) {
	const first, startTime = 3, 22
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= startTime-first {
		return "", "", fmt.Errorf("parse the state of a process: %q", text)
	}
	return string(fields[0]), string(fields[startTime-first]), nil
}

package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process identifies a process, even if its PID is reused later.
type process struct {
	PID int `json:"pid"`
	// Start is its start time, in clock ticks since the boot of localhost: field 22
	// of /proc/PID/stat, proc_pid_stat(5).
	Start uint64 `json:"start"`
	// BootID is that boot: /proc/sys/kernel/random/boot_id.
	BootID string `json:"bootID"`
}

// procfs is where the proc file system is mounted.
type procfs string

const proc procfs = "/proc"

// identify identifies a running process.
func (p procfs) identify(pid int) (*process, error) {
	start, _, err := p.stat(pid)
	if err != nil {
		return nil, fmt.Errorf("identify process %d: %w", pid, err)
	}
	boot, err := p.bootID()
	if err != nil {
		return nil, err
	}
	return &process{PID: pid, Start: start, BootID: boot}, nil
}

// alive reports whether a recorded process still runs. A zombie does not.
func (p procfs) alive(rec *process) bool {
	if rec == nil {
		return false
	}
	boot, err := p.bootID()
	if err != nil || boot != rec.BootID {
		return false
	}
	start, state, err := p.stat(rec.PID)
	return err == nil && start == rec.Start && state != 'Z' && state != 'X'
}

// runners are the processes that run a machine container on a tree: systemd-nspawn
// and its supervisor. They are found by their arguments, for the case of a crash
// between their start and its record. A tree belongs to one machine of one lab.
func (p procfs) runners(tree string) []int {
	return p.find(func(pid int) bool {
		argv := p.argv(pid)
		if len(argv) == 0 {
			return false // it has ended
		}
		program := filepath.Base(argv[0])
		return (program == "systemd-nspawn" || program == "sh") && slices.Contains(argv[1:], "--directory="+tree)
	})
}

// leader is the init of the machine on a tree: the child of systemd-nspawn that is
// process 1 of its PID namespace. It is 0 if there is none.
func (p procfs) leader(tree string) int {
	runners := p.runners(tree)
	pids := p.find(func(pid int) bool {
		status, err := os.ReadFile(p.path(pid, "status"))
		if err != nil {
			return false // it has ended
		}
		parent, inside := parentAndInnerPID(string(status))
		return inside == 1 && slices.Contains(runners, parent)
	})
	if len(pids) == 0 {
		return 0
	}
	return pids[0]
}

// parentAndInnerPID reads PPid, and the last number of NSpid: the PID in the innermost
// namespace, proc_pid_status(5).
func parentAndInnerPID(status string) (parent, inner int) {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch number, _ := strconv.Atoi(fields[len(fields)-1]); key {
		case "PPid":
			parent = number
		case "NSpid":
			inner = number
		}
	}
	return parent, inner
}

// withArgs are the processes with exactly these arguments.
func (p procfs) withArgs(args []string) []int {
	return p.find(func(pid int) bool {
		argv := p.argv(pid)
		return len(argv) > 0 && slices.Equal(argv[1:], args)
	})
}

// argv is the command line of a process; nil if it has ended.
func (p procfs) argv(pid int) []string {
	cmdline, err := os.ReadFile(p.path(pid, "cmdline"))
	if err != nil {
		return nil
	}
	return strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
}

// members are the processes in the machine's cgroup of any hierarchy. The name of
// the container has a digest of the lab's directory: no other lab has it.
func (p procfs) members(container string) []int {
	// The scope of a machine, as systemd-machined escapes it: systemd.unit(5).
	scope := "machine-" + strings.ReplaceAll(container, "-", `\x2d`) + ".scope"
	return p.find(func(pid int) bool {
		cgroups, err := os.ReadFile(p.path(pid, "cgroup"))
		if err != nil {
			return false // it has ended
		}
		for line := range strings.Lines(string(cgroups)) {
			elements := strings.Split(strings.TrimSpace(line), "/")
			if slices.Contains(elements, container) || slices.Contains(elements, scope) {
				return true
			}
		}
		return false
	})
}

// find lists the processes that match.
func (p procfs) find(match func(pid int) bool) []int {
	entries, err := os.ReadDir(string(p))
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && match(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat reads the start time and the state letter of a process. The name in the
// second field may contain spaces and parentheses.
func (p procfs) stat(pid int) (start uint64, state byte, err error) {
	content, err := os.ReadFile(p.path(pid, "stat"))
	if err != nil {
		return 0, 0, err
	}
	end := bytes.LastIndexByte(content, ')')
	if end < 0 {
		return 0, 0, errors.New("stat has no process name")
	}
	// Field 3 is the first after the name.
	fields := strings.Fields(string(content[end+1:]))
	if len(fields) < 20 {
		return 0, 0, errors.New("stat has too few fields")
	}
	start, err = strconv.ParseUint(fields[22-3], 10, 64)
	return start, fields[0][0], err
}

func (p procfs) bootID() (string, error) {
	id, err := os.ReadFile(filepath.Join(string(p), "sys/kernel/random/boot_id"))
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

func (p procfs) path(pid int, name string) string {
	return filepath.Join(string(p), strconv.Itoa(pid), name)
}

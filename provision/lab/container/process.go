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

// process identifies a process so that another one that got its number later is
// not taken for it.
type process struct {
	PID int `json:"pid"`
	// Start is when it started, in clock ticks since the boot of the outer
	// machine: field 22 of /proc/PID/stat, proc_pid_stat(5).
	Start uint64 `json:"start"`
	// BootID is that boot: /proc/sys/kernel/random/boot_id.
	BootID string `json:"bootID"`
}

// procfs is where the proc file system is mounted.
type procfs string

const proc procfs = "/proc"

// identify records a process that runs now.
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

// alive says whether the very process that was recorded still runs. One that
// ended and was not reaped yet does not.
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

// runners are the processes that run a machine container on the tree: each
// systemd-nspawn, and the supervisor before it. A tree belongs to one machine
// of one lab, so that nobody else has a reason to. They are found by argv for
// the case that a crash came between their start and its record.
func (p procfs) runners(tree string) []int {
	return p.find(func(pid int) bool {
		cmdline, err := os.ReadFile(p.path(pid, "cmdline"))
		if err != nil {
			return false // it ended meanwhile
		}
		argv := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
		program := filepath.Base(argv[0])
		return (program == "systemd-nspawn" || program == "sh") && slices.Contains(argv[1:], "--directory="+tree)
	})
}

// members are the processes in the machine's cgroup, with whichever hierarchy.
// The name of the container is in no other lab, since it holds a digest of the
// lab's folder.
func (p procfs) members(container string) []int {
	// How systemd-machined names the scope of a machine, systemd.unit(5).
	scope := "machine-" + strings.ReplaceAll(container, "-", `\x2d`) + ".scope"
	return p.find(func(pid int) bool {
		cgroups, err := os.ReadFile(p.path(pid, "cgroup"))
		if err != nil {
			return false // it ended meanwhile
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
// second field may hold anything, also spaces and parentheses.
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

package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/retry"
)

// Each machine has its own cgroup in every hierarchy, below that of the process
// that starts it. If localhost runs systemd, systemd creates them. Otherwise
// systemd-nspawn would leave all machines in one cgroup: they would share /kubepods,
// and each kubelet would delete the pods of the others.

// hierarchy is a mounted cgroup file system.
type hierarchy struct {
	// parent is the directory of the cgroup that this process is in.
	parent string
	v2     bool
}

// hierarchies finds the mounted hierarchies in mountinfo and /proc/self/cgroup,
// cgroups(7).
func hierarchies(mounts []mount, self string) []hierarchy {
	var found []hierarchy
	for line := range strings.Lines(self) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		controllers, own := fields[1], fields[2]
		for _, m := range mounts {
			if !carries(m, controllers) {
				continue
			}
			// A bind mount of a part shows only what is below its root.
			if rel, err := filepath.Rel(m.Root, own); err == nil && filepath.IsLocal(rel) {
				found = append(found, hierarchy{parent: filepath.Join(m.Point, rel), v2: m.Type == "cgroup2"})
				break
			}
		}
	}
	return found
}

// carries reports whether a mount is the hierarchy of a list of controllers, as in
// /proc/self/cgroup; "" is the unified hierarchy.
func carries(m mount, controllers string) bool {
	if controllers == "" {
		return m.Type == "cgroup2"
	}
	if m.Type != "cgroup" {
		return false
	}
	for controller := range strings.SplitSeq(controllers, ",") {
		if !slices.Contains(m.Super, controller) {
			return false
		}
	}
	return true
}

// createCgroups records and creates the cgroups of a machine.
func (s *session) createCgroups(m *machine) error {
	if bootedWithSystemd() {
		return nil
	}
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	all := hierarchies(mounts, string(self))
	err = s.record(func() {
		m.Cgroups = nil
		for _, h := range all {
			m.Cgroups = append(m.Cgroups, filepath.Join(h.parent, s.containerName(m)))
		}
	})
	if err != nil {
		return err
	}
	for i, h := range all {
		if err := h.create(m.Cgroups[i]); err != nil {
			return fmt.Errorf("create a cgroup: %w", err)
		}
	}
	return nil
}

func (h hierarchy) create(dir string) error {
	if h.v2 {
		h.delegate()
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A cpuset of cgroup v1 accepts processes only with CPUs and memory nodes, and
	// is created without. Other hierarchies do not have these files.
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		content, err := os.ReadFile(filepath.Join(h.parent, name))
		if h.v2 || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// delegate enables the controllers of a cgroup v2 for its children. It ignores
// errors: preflight reports a controller that is missing.
func (h hierarchy) delegate() {
	controllers, err := os.ReadFile(filepath.Join(h.parent, "cgroup.controllers"))
	if err != nil {
		return
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		_ = os.WriteFile(filepath.Join(h.parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
}

// clearCgroups ends the remaining processes of a machine that is off, and deletes
// its cgroups. The machine's init outlives a systemd-nspawn that was killed.
func (s *session) clearCgroups(ctx context.Context, m *machine) error {
	soon := retry.Options{Timeout: 10 * time.Second}
	err := retry.Until(ctx, "its last process to end", func(context.Context) error {
		left := proc.members(s.containerName(m))
		for _, pid := range left {
			if err := kill(pid); err != nil {
				return retry.Stop(fmt.Errorf("kill process %d: %w", pid, err))
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("still running: %v", left)
		}
		return nil
	}, soon)
	if err != nil {
		return err
	}
	for _, dir := range m.Cgroups {
		err := retry.Until(ctx, "cgroup "+dir+" to be empty", func(context.Context) error { return removeCgroup(dir) }, soon)
		if err != nil {
			return err
		}
	}
	return s.record(func() { m.Cgroups = nil })
}

// removeCgroup deletes a cgroup and those below it, from the leaves up: files of a
// cgroup cannot be deleted, and os.RemoveAll tries to.
func removeCgroup(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(dirs) {
		if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

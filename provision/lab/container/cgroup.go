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

// A machine gets a cgroup of its own in every hierarchy, below the one of the
// process that starts it. systemd-nspawn without systemd outside would leave it
// where it is: all machines would share one /kubepods, and each kubelet would
// clean up the pods of the others. Where systemd runs the outer machine, it does
// this itself.

// hierarchy is a mounted cgroup file system.
type hierarchy struct {
	// parent is the folder of the cgroup that this process is in.
	parent string
	v2     bool
}

// hierarchies finds the mounted ones from mountinfo and /proc/self/cgroup,
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

// carries says whether a mount is the hierarchy of these controllers: "" is the
// unified one, others are a list as in /proc/self/cgroup.
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

// makeCgroups makes the machine's cgroups; they are recorded before.
func (s *session) makeCgroups(m *machine) error {
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
		if err := h.make(m.Cgroups[i]); err != nil {
			return fmt.Errorf("make a cgroup: %w", err)
		}
	}
	return nil
}

func (h hierarchy) make(dir string) error {
	if h.v2 {
		h.delegate()
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A new cpuset of cgroup v1 is empty, and takes no process before it has
	// CPUs and memory nodes; other hierarchies do not have the files.
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

// delegate lets children of a cgroup v2 have its controllers, one by one: those
// that cannot be had are missed by who needs them, with a better message.
func (h hierarchy) delegate() {
	controllers, err := os.ReadFile(filepath.Join(h.parent, "cgroup.controllers"))
	if err != nil {
		return
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		_ = os.WriteFile(filepath.Join(h.parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
}

// clearCgroups ends what is left of a machine that nobody runs any more, and
// removes its recorded cgroups with those that it made in them. Its init
// outlives a systemd-nspawn that was killed.
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

// removeCgroup removes a cgroup with those below it. Only folders can be
// removed there, and only without a process in them.
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

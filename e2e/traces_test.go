//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// traces are what a lab has on the outer machine, by its own record.
type traces struct {
	dir, bridge string
	cgroups     []string
}

func (s *scenario) labDown(ctx context.Context, t *testing.T) {
	had := s.traces(t)
	if left := had.left(t); len(left) < 4 {
		t.Fatalf("the lab is there, and of its traces only %q are seen", left)
	}
	r := s.slipway.must(ctx, t, "lab", "down", "--name", s.lab.Name)
	s.took("lab down", r.took)
	for _, left := range had.left(t) {
		t.Errorf("still there: %s", left)
	}
	s.slipway.must(ctx, t, "lab", "down", "--name", s.lab.Name) // down already is fine
}

func (s *scenario) traces(t *testing.T) traces {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.lab.dir(), "lab.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Bridge   string
		Machines []struct{ Cgroups []string }
	}
	if err := json.Unmarshal(content, &state); err != nil {
		t.Fatal(err)
	}
	had := traces{dir: s.lab.dir(), bridge: state.Bridge}
	for _, m := range state.Machines {
		had.cgroups = append(had.cgroups, m.Cgroups...)
	}
	return had
}

// left names what is there of them now.
func (had traces) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, path := range append([]string{had.dir, filepath.Join("/sys/class/net", had.bridge)}, had.cgroups...) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			left = append(left, path)
		}
	}
	links, err := filepath.Glob("/sys/class/net/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		// systemd-nspawn names a machine's link after the machine, which is
		// named after the bridge.
		if strings.HasPrefix(filepath.Base(link), "vb-"+had.bridge[:min(8, len(had.bridge))]) {
			left = append(left, link)
		}
	}
	return append(left, append(had.mounts(t), had.processes(t)...)...)
}

func (had traces) mounts(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, had.dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left
}

// processes are those whose command line names the lab's folder, or that are in
// a cgroup of the lab: the supervisors, and all that runs in the machines.
func (had traces) processes(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		cgroup, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cgroup"))
		if strings.Contains(string(command), had.dir) || strings.Contains(string(cgroup), "/"+had.bridge+"-") {
			left = append(left, "process "+e.Name()+" "+strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return left
}

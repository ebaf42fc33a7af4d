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

// labResources are the resources of a lab on localhost, from its state file.
type labResources struct {
	dir, bridge string
	cgroups     []string
}

func (s *scenario) labDown(ctx context.Context, t *testing.T) {
	before := s.resources(t)
	if left := before.left(t); len(left) < 4 {
		t.Fatalf("of the resources of a running lab, only %q are found", left)
	}
	r := s.slipway.must(ctx, t, "lab", "down", "--name", s.lab.Name)
	s.took("lab down", r.took)
	for _, left := range before.left(t) {
		t.Errorf("left after lab down: %s", left)
	}
	s.slipway.must(ctx, t, "lab", "down", "--name", s.lab.Name) // a second lab down succeeds
}

func (s *scenario) resources(t *testing.T) labResources {
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
	r := labResources{dir: s.lab.dir(), bridge: state.Bridge}
	for _, m := range state.Machines {
		r.cgroups = append(r.cgroups, m.Cgroups...)
	}
	return r
}

// left lists the resources that exist.
func (r labResources) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, path := range append([]string{r.dir, filepath.Join("/sys/class/net", r.bridge)}, r.cgroups...) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			left = append(left, path)
		}
	}
	links, err := filepath.Glob("/sys/class/net/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		// systemd-nspawn names a link after its machine, which has the name of
		// the bridge as a prefix.
		if strings.HasPrefix(filepath.Base(link), "vb-"+r.bridge[:min(8, len(r.bridge))]) {
			left = append(left, link)
		}
	}
	return append(left, append(r.mounts(t), r.processes(t)...)...)
}

func (r labResources) mounts(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, r.dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left
}

// processes lists the supervisors and the processes of the machines: those with the
// directory of the lab in their command line, or in a cgroup of the lab.
func (r labResources) processes(t *testing.T) []string {
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
		if strings.Contains(string(command), r.dir) || strings.Contains(string(cgroup), "/"+r.bridge+"-") {
			left = append(left, "process "+e.Name()+" "+strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return left
}

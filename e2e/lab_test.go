//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lab is the output of `slipway lab status -o json`.
type lab struct {
	Name, Inventory, Subnet string
	Machines                []machine
}

type machine struct {
	Name, Address, State string
	Roles                []string
}

// dir returns the directory of the lab.
func (l lab) dir() string { return filepath.Dir(l.Inventory) }

// tree returns the root file system of a machine, as a path on localhost.
func (l lab) tree(machine string) string { return filepath.Join(l.dir(), "machines", machine, "tree") }

// console returns the path of the console log of a machine.
func (l lab) console(machine string) string {
	return filepath.Join(l.dir(), "machines", machine, "console.log")
}

// machine returns a machine of the lab, which must exist.
func (l lab) machine(name string) machine {
	for _, m := range l.Machines {
		if m.Name == name {
			return m
		}
	}
	panic("no machine " + name)
}

func (l lab) names() []string {
	var names []string
	for _, m := range l.Machines {
		names = append(names, m.Name)
	}
	return names
}

// status returns the current state of the lab.
func (s *scenario) status(ctx context.Context, t *testing.T) lab {
	t.Helper()
	r := s.slipway.must(ctx, t, "lab", "status", "--name", s.lab.Name, "-o", "json")
	var l lab
	if err := json.Unmarshal([]byte(r.stdout), &l); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return l
}

func (s *scenario) machinesComeUp(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, "lab", "up", "--provider", "container", "--name", s.lab.Name, "--machines-only", "--bundle", s.bundle)
	s.took("lab up --machines-only", r.took)
	s.lab = s.status(ctx, t)
	if diff := cmp.Diff([]string{"cp1", "w1", "w2"}, s.lab.names()); diff != "" {
		t.Fatalf("machines (-want +got):\n%s", diff)
	}
	for _, m := range s.lab.Machines {
		if m.State != "running" {
			t.Errorf("%s is %s", m.Name, m.State)
		}
	}
	hostname := s.slipway.must(ctx, t, "lab", "ssh", "--name", s.lab.Name, "w2", "--", "hostname")
	if strings.TrimSpace(hostname.stdout) != "w2" {
		t.Errorf("lab ssh w2 connects to %q", hostname.stdout)
	}
}

// ssh runs a script as root on a machine, without slipway, and returns its output.
func (s *scenario) ssh(ctx context.Context, machine, script string) (string, error) {
	user, key := "slipway", filepath.Join(s.lab.dir(), "id_ed25519")
	if vagrantKey := filepath.Join(s.lab.dir(), ".vagrant", "machines", machine, "libvirt", "private_key"); isFile(vagrantKey) {
		user, key = "vagrant", vagrantKey
	}
	cmd := exec.CommandContext(ctx, "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
		"-o", "IdentitiesOnly=yes", "-i", key,
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+filepath.Join(s.lab.dir(), "known_hosts"),
		"-l", user, s.lab.machine(machine).Address, "sudo", "sh", "-s")
	cmd.Stdin = strings.NewReader("set -eu\n" + script)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %w: %s", machine, script, err, stderr.String())
	}
	return stdout.String(), nil
}

// mustSSH is ssh that fails the test if the script fails.
func (s *scenario) mustSSH(ctx context.Context, t *testing.T, machine, script string) string {
	t.Helper()
	out, err := s.ssh(ctx, machine, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

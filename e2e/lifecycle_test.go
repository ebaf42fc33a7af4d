//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lockFile is the lock of a run on a host.
const lockFile = "/run/slipway/lock"

func (s *scenario) locks(ctx context.Context, t *testing.T) {
	record, err := json.Marshal(map[string]string{
		"token": "another run", "holder": "ada@elsewhere (pid 7)", "run": "apply", "since": "2026-01-02T03:04:05Z",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.mustSSH(ctx, t, "w1", "mkdir -p /run/slipway; cat >"+lockFile+" <<'END'\n"+string(record)+"\nEND\n")
	r := s.slipway.run(ctx, t, s.on("apply", "--lock-timeout", "2s")...)
	if r.code != 7 {
		t.Errorf("exit code %d, want 7\n%s", r.code, r)
	}
	for _, want := range []string{"w1", "ada@elsewhere (pid 7)", "2026-01-02T03:04:05Z", "timed out waiting", "expires"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("stderr lacks %q\n%s", want, r)
		}
	}
	if now := s.mustSSH(ctx, t, "w1", "cat "+lockFile); strings.TrimSpace(now) != string(record) {
		t.Errorf("the lock of the other run is now %q", now)
	}
	s.unlocked(ctx, t, "cp1", "w2")

	// An expired lock is taken over.
	s.mustSSH(ctx, t, "w1", "touch -d '-10 minutes' "+lockFile)
	nothingChanged(t, s.lab.names(), s.slipway.must(ctx, t, s.on("apply", "-o", "json")...))
	s.unlocked(ctx, t, s.lab.names()...)
}

// unlocked checks that the machines have no lock.
func (s *scenario) unlocked(ctx context.Context, t *testing.T, machines ...string) {
	t.Helper()
	for _, m := range machines {
		if out := s.mustSSH(ctx, t, m, "[ ! -s "+lockFile+" ] || cat "+lockFile); out != "" {
			t.Errorf("%s is still locked: %s", m, out)
		}
	}
}

func (s *scenario) powerCycle(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, "lab", "halt", "--name", s.lab.Name)
	s.took("lab halt", r.took)
	for _, m := range s.status(ctx, t).Machines {
		if m.State != "off" {
			t.Errorf("%s is %s", m.Name, m.State)
		}
	}
	booted := time.Now()
	r = s.slipway.must(ctx, t, "lab", "resume", "--name", s.lab.Name)
	s.took("lab resume", r.took)
	// A Node stays Ready until its lease expires, so wait for new leases first.
	eventually(ctx, t, "all kubelets renew their leases", 4*time.Minute, func(ctx context.Context) error {
		return s.renewed(ctx, t, booted)
	})
	eventually(ctx, t, "all nodes are ready", 4*time.Minute, func(ctx context.Context) error {
		for name, n := range s.nodes(ctx, t) {
			if n.ready != "True" {
				return errors.New(name + ": Ready is " + n.ready)
			}
		}
		return nil
	})
	s.took("power on until all nodes are ready", time.Since(booted))
	s.nodesReady(ctx, t)
	for _, m := range s.lab.names() {
		s.swapIsOff(ctx, t, m)
	}
	s.validate(ctx, t)
}

// swapIsOff checks that swap is off and stays off after a reboot. Machine containers
// share the kernel of localhost, and so list its swap.
func (s *scenario) swapIsOff(ctx context.Context, t *testing.T, machine string) {
	t.Helper()
	fstab := s.mustSSH(ctx, t, machine, "cat /etc/fstab")
	for line := range strings.Lines(fstab) {
		if words := strings.Fields(line); len(words) > 2 && words[2] == "swap" && !strings.HasPrefix(words[0], "#") {
			t.Errorf("%s: /etc/fstab has %q", machine, line)
		}
	}
	if !strings.Contains(fstab, "/swapfile none swap") {
		t.Errorf("%s: the swap line of /etc/fstab was deleted, not commented out:\n%s", machine, fstab)
	}
	units := s.mustSSH(ctx, t, machine, "systemctl list-units --type=swap --state=active --plain --no-legend")
	if units != "" {
		t.Errorf("%s: swap units are active: %s", machine, units)
	}
	local, err := os.ReadFile("/proc/swaps")
	if err != nil {
		t.Fatal(err)
	}
	if swaps := s.mustSSH(ctx, t, machine, "cat /proc/swaps"); swaps != string(local) {
		t.Errorf("%s has swap that localhost does not have: %s", machine, swaps)
	}
}

// unmanagedRule is a packet filter rule that slipway did not create.
const unmanagedRule = "-A INPUT -s 192.0.2.0/24 -j DROP"

func (s *scenario) reset(ctx context.Context, t *testing.T) {
	for _, m := range s.lab.names() {
		s.mustSSH(ctx, t, m, "iptables "+unmanagedRule)
	}
	r := s.slipway.must(ctx, t, s.on("reset", "--yes", "-o", "json")...)
	s.took("reset", r.took)
	events(t, r.stdout)
	same(t, s.bare.afterReset(), s.lister.list(t, s.lab).afterReset())
	for _, m := range s.lab.names() {
		s.nothingLeft(ctx, t, m)
	}
	s.unlocked(ctx, t, s.lab.names()...)
	s.slipway.must(ctx, t, s.on("preflight", anyDisk)...)
}

// Network links and packet filter rules of a cluster.
var (
	clusterLinks = regexp.MustCompile(`(?m)^\d+: (cni0|flannel|veth)\S*`)
	clusterRules = regexp.MustCompile(`(?m)^.*(KUBE-|FLANNEL-|CNI-|flanneld).*$`)
)

// nothingLeft checks for processes, links, rules and mounts of a cluster.
func (s *scenario) nothingLeft(ctx context.Context, t *testing.T, machine string) {
	t.Helper()
	s.noProcesses(ctx, t, machine)
	if left := clusterLinks.FindAllString(s.mustSSH(ctx, t, machine, "ip -o link"), -1); left != nil {
		t.Errorf("%s still has the links %q", machine, left)
	}
	rules := s.mustSSH(ctx, t, machine, "iptables-save")
	if left := clusterRules.FindAllString(rules, -1); left != nil {
		t.Errorf("%s still has %d of the cluster's packet filter rules:\n%s", machine, len(left), strings.Join(left, "\n"))
	}
	if !strings.Contains(rules, unmanagedRule) {
		t.Errorf("%s lost a rule that is not the cluster's:\n%s", machine, rules)
	}
	if left := s.mustSSH(ctx, t, machine, "grep -E ' /(var/lib/kubelet|var/lib/containerd|run/containerd|run/netns)' /proc/self/mountinfo || true"); left != "" {
		t.Errorf("%s still has mounts:\n%s", machine, left)
	}
}

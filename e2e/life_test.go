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

// lockFile is where an installer says that it is at work on a machine.
const lockFile = "/run/slipway/lock"

func (s *scenario) locks(ctx context.Context, t *testing.T) {
	holding, err := json.Marshal(map[string]string{
		"token": "another installer's", "holder": "ada@elsewhere (pid 7)", "run": "apply", "since": "2026-01-02T03:04:05Z",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.mustSSH(ctx, t, "w1", "mkdir -p /run/slipway; cat >"+lockFile+" <<'END'\n"+string(holding)+"\nEND\n")
	r := s.slipway.run(ctx, t, s.on("apply")...)
	if r.code != 7 {
		t.Errorf("exit code %d, want 7\n%s", r.code, r)
	}
	for _, want := range []string{"w1", "ada@elsewhere (pid 7)", "2026-01-02T03:04:05Z", "expires"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("it does not say %q\n%s", want, r)
		}
	}
	if now := s.mustSSH(ctx, t, "w1", "cat "+lockFile); strings.TrimSpace(now) != string(holding) {
		t.Errorf("the other one's lock is now %q", now)
	}
	s.unlocked(ctx, t, "cp1", "w2")

	// One that nobody renews any more is taken over.
	s.mustSSH(ctx, t, "w1", "touch -d '-10 minutes' "+lockFile)
	nothingChanged(t, s.lab.names(), s.slipway.must(ctx, t, s.on("apply", "-o", "json")...))
	s.unlocked(ctx, t, s.lab.names()...)
}

// unlocked wants no lock on the machines.
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
	// A Node is Ready by what was last known of it, so ask for news first.
	eventually(ctx, t, "all kubelets report again", 4*time.Minute, func(ctx context.Context) error {
		return s.renewed(ctx, t, booted)
	})
	eventually(ctx, t, "all nodes are ready again", 4*time.Minute, func(ctx context.Context) error {
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

// swapIsOff looks at what would bring swap back, and whether any is there. All
// machines have the outer one's kernel, and see its swap.
func (s *scenario) swapIsOff(ctx context.Context, t *testing.T, machine string) {
	t.Helper()
	fstab := s.mustSSH(ctx, t, machine, "cat /etc/fstab")
	for line := range strings.Lines(fstab) {
		if words := strings.Fields(line); len(words) > 2 && words[2] == "swap" && !strings.HasPrefix(words[0], "#") {
			t.Errorf("%s: /etc/fstab has %q", machine, line)
		}
	}
	if !strings.Contains(fstab, "/swapfile none swap") {
		t.Errorf("%s: the swap line of /etc/fstab is gone, not commented out:\n%s", machine, fstab)
	}
	units := s.mustSSH(ctx, t, machine, "systemctl list-units --type=swap --state=active --plain --no-legend")
	if units != "" {
		t.Errorf("%s: swap units are active: %s", machine, units)
	}
	outer, err := os.ReadFile("/proc/swaps")
	if err != nil {
		t.Fatal(err)
	}
	if swaps := s.mustSSH(ctx, t, machine, "cat /proc/swaps"); swaps != string(outer) {
		t.Errorf("%s has swap that the outer machine has not: %s", machine, swaps)
	}
}

// foreign is a rule of the machine's owner, in a network that is nobody's.
const foreign = "-A INPUT -s 192.0.2.0/24 -j DROP"

func (s *scenario) reset(ctx context.Context, t *testing.T) {
	for _, m := range s.lab.names() {
		s.mustSSH(ctx, t, m, "iptables "+foreign)
	}
	r := s.slipway.must(ctx, t, s.on("reset", "--yes", "-o", "json")...)
	s.took("reset", r.took)
	events(t, r.stdout)
	same(t, s.bare.afterReset(), s.lister.list(t, s.lab).afterReset())
	for _, m := range s.lab.names() {
		s.nothingLeft(ctx, t, m)
	}
	s.unlocked(ctx, t, s.lab.names()...)
	s.slipway.must(ctx, t, s.on("preflight")...)
}

// ours are links and chains that a cluster has; programs of its own besides.
var (
	ourLinks = regexp.MustCompile(`(?m)^\d+: (cni0|flannel|veth)\S*`)
	ourRules = regexp.MustCompile(`(?m)^.*(KUBE-|FLANNEL-|CNI-|flanneld).*$`)
)

// nothingLeft looks at what a listing of files does not show.
func (s *scenario) nothingLeft(ctx context.Context, t *testing.T, machine string) {
	t.Helper()
	const programs = "kube|containerd|etcd|coredns|flannel|pause"
	if left := s.mustSSH(ctx, t, machine, "ps -e -o pid=,comm= | grep -E '"+programs+"' || true"); left != "" {
		t.Errorf("%s still runs:\n%s", machine, left)
	}
	if left := ourLinks.FindAllString(s.mustSSH(ctx, t, machine, "ip -o link"), -1); left != nil {
		t.Errorf("%s still has the links %q", machine, left)
	}
	rules := s.mustSSH(ctx, t, machine, "iptables-save")
	if left := ourRules.FindAllString(rules, -1); left != nil {
		t.Errorf("%s still has %d of the cluster's packet filter rules:\n%s", machine, len(left), strings.Join(left, "\n"))
	}
	if !strings.Contains(rules, foreign) {
		t.Errorf("%s lost a rule that is not the cluster's:\n%s", machine, rules)
	}
	if left := s.mustSSH(ctx, t, machine, "grep -E ' /(var/lib/kubelet|var/lib/containerd|run/containerd|run/netns)' /proc/self/mountinfo || true"); left != "" {
		t.Errorf("%s still has mounts:\n%s", machine, left)
	}
}

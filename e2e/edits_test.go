//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// edits checks what plan and apply do with edits of the inventory of a running
// cluster.
func (s *scenario) edits(ctx context.Context, t *testing.T) {
	s.statusIsComplete(ctx, t)
	if r := s.slipway.run(ctx, t, s.on("plan", "--detailed-exitcode")...); r.code != 0 {
		t.Errorf("without an edit: %s", r)
	}
	if r := s.slipway.run(ctx, t, "plan", "--detailed-exitcode", "--inventory", s.reordered(t)); r.code != 0 {
		t.Errorf("the hosts in another order: %s", r)
	}
	if r := s.slipway.run(ctx, t, "plan", "--detailed-exitcode", "--inventory", s.edit(t, `name: "w2"`, "name: w2\n    labels: {example.com/disk: ssd}")); r.code != 12 {
		t.Errorf("with a new label: %s", r)
	}
	refused := []struct{ name, from, to, want string }{
		{"a renamed worker", `name: "w2"`, `name: "w9"`, "its kubelet is node w2 of a cluster"},
		{"a renamed control plane", `name: "cp1"`, `name: "cp9"`, "its kubelet is node cp1 of a cluster"},
		{"another pod subnet", "\nssh:\n", "\nnetwork: {podSubnet: 10.200.0.0/16}\nssh:\n", "network.podSubnet is 10.244.0.0/16 in the cluster"},
	}
	for _, edit := range refused {
		inventory := s.edit(t, edit.from, edit.to)
		for _, command := range []string{"plan", "apply"} {
			r := s.slipway.run(ctx, t, command, "--inventory", inventory)
			if r.code != 5 || !strings.Contains(r.stderr, edit.want) || !strings.Contains(r.stderr, "nothing has been changed") {
				t.Errorf("%s: %s: %s", command, edit.name, r)
			}
		}
	}
	s.deadWorker(ctx, t)
	nothingChanged(t, s.lab.names(), s.slipway.must(ctx, t, s.on("apply", "-o", "json")...))
}

func (s *scenario) statusIsComplete(ctx context.Context, t *testing.T) {
	t.Helper()
	r := s.slipway.must(ctx, t, s.on("status", "-o", "json")...)
	s.took("status", r.took)
	var status struct {
		Complete    bool
		Version     string
		Differences []string
		Hosts       []struct {
			Name            string
			CertificateDays int
			Node            *struct{ Ready bool }
		}
		EtcdMembers []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if !status.Complete || status.Version != s.version(t) || len(status.Differences) > 0 || len(status.Hosts) != len(s.lab.Machines) || len(status.EtcdMembers) != 1 {
		t.Errorf("got %s", r.stdout)
	}
	for _, h := range status.Hosts {
		if h.Node == nil || !h.Node.Ready || h.CertificateDays < 300 {
			t.Errorf("got %+v", h)
		}
	}
}

// reordered writes an inventory with the hosts in the opposite order.
func (s *scenario) reordered(t *testing.T) string {
	t.Helper()
	path, inventory := s.copied(t)
	slices.Reverse(inventory["hosts"].([]any))
	text, err := yaml.Marshal(inventory)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text))
	return path
}

// deadWorker applies while w2 does not answer: the others are changed.
func (s *scenario) deadWorker(ctx context.Context, t *testing.T) {
	t.Helper()
	s.mustSSH(ctx, t, "w2", "systemd-run --quiet --on-active=15s --timer-property=AccuracySec=1s systemctl start ssh; systemctl stop ssh.socket 2>/dev/null; systemctl stop ssh")
	s.mustSSH(ctx, t, "w1", "sed -i '/w2$/d' /etc/hosts")
	r := s.slipway.run(ctx, t, s.on("apply")...)
	s.took("apply without a worker", r.took)
	if r.code != 4 || !strings.Contains(r.stderr, "w2") || !strings.Contains(r.stderr, "unreachable") {
		t.Errorf("without w2: %s", r)
	}
	if hosts := s.mustSSH(ctx, t, "w1", "cat /etc/hosts"); !strings.Contains(hosts, s.lab.machine("w2").Address+" w2\n") {
		t.Errorf("w1 was not changed, or lost the address of w2:\n%s", hosts)
	}
	eventually(ctx, t, "w2 answers again", 90*time.Second, func(ctx context.Context) error {
		_, err := s.ssh(ctx, "w2", "true")
		return err
	})
}

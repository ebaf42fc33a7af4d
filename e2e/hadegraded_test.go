//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// commandsWork runs all commands while the machine is off.
func (h *ha) commandsWork(ctx context.Context, t *testing.T) {
	off := h.off(ctx, t)
	h.slipway.must(ctx, t, h.on("kubeconfig")...)
	for _, run := range [][]string{{"plan", "-o", "json"}, {"apply", "-o", "json"}} {
		r := h.slipway.run(ctx, t, h.on(run...)...)
		h.took(run[0]+" while a control plane is off", r.took)
		h.changesNothingWithout(t, off, r)
	}
	status := h.statusOf(ctx, t)
	if !status.Complete || status.APIError != "" || len(status.EtcdMembers) != len(h.controlPlanes()) {
		t.Errorf("status while %s is off: %+v", off, status)
	}
	for _, host := range status.Hosts {
		if (host.Unreachable != "") != (host.Name == off) {
			t.Errorf("status of %s while %s is off: unreachable %q", host.Name, off, host.Unreachable)
		}
	}
	h.addonsWorkWithout(ctx, t, off)
	h.validatesWithout(ctx, t, off)
}

// addonsWorkWithout installs and removes an addon while a control plane is off, and asks
// for the console.
func (h *ha) addonsWorkWithout(ctx context.Context, t *testing.T, off string) {
	t.Helper()
	before, err := os.ReadFile(h.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	defer write(t, h.lab.Inventory, string(before))
	for _, want := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"addon", "enable", "local-path"}, exitUnreachable, off},
		{[]string{"addon", "status", "local-path"}, 0, "local-path"},
		{[]string{"addon", "disable", "local-path"}, exitUnreachable, off},
		{[]string{"console"}, 1, "the console is not installed"},
	} {
		r := h.slipway.run(ctx, t, h.on(want.args...)...)
		if r.code != want.code || !strings.Contains(r.stdout+r.stderr, want.text) {
			t.Errorf("while %s is off, want exit code %d and %q: %s", off, want.code, want.text, r)
		}
	}
}

// off returns the only machine that is off.
func (h *ha) off(ctx context.Context, t *testing.T) string {
	t.Helper()
	var off []string
	for _, m := range h.status(ctx, t).Machines {
		if m.State == "off" {
			off = append(off, m.Name)
		}
	}
	if len(off) != 1 {
		t.Fatalf("%q are off", off)
	}
	return off[0]
}

// clusterStatus is the output of `slipway status -o json`.
type clusterStatus struct {
	Complete    bool
	APIError    string
	EtcdMembers []struct{ Name string }
	Hosts       []struct{ Name, Unreachable string }
}

// statusOf runs slipway status, which fails if a host is unreachable, but prints all the
// same.
func (h *ha) statusOf(ctx context.Context, t *testing.T) clusterStatus {
	t.Helper()
	r := h.slipway.run(ctx, t, h.on("status", "-o", "json")...)
	h.took("status", r.took)
	var status clusterStatus
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return status
}

// exitUnreachable is the exit code of a run that could not reach a host.
const exitUnreachable = 4

// changesNothingWithout checks that a run without one of the hosts changed nothing, and
// failed at most on that host.
func (h *ha) changesNothingWithout(t *testing.T, off string, r result) {
	t.Helper()
	if r.code != 0 && (r.code != exitUnreachable || !strings.Contains(r.stdout+r.stderr, off)) {
		t.Errorf("while %s is off: %s", off, r)
	}
	unchanged := map[string]int{}
	for _, e := range events(t, r.stdout) {
		switch e.Kind {
		case "change", "phase-changed":
			t.Errorf("%s: %s on %s: %s", e.Kind, e.Phase, e.Host, e.Message)
		case "phase-failed":
			if e.Host != off {
				t.Errorf("%s: %s on %s: %s", e.Kind, e.Phase, e.Host, e.Error)
			}
		case "phase-unchanged":
			unchanged[e.Host]++
		}
	}
	for _, host := range h.lab.names() {
		if host != off && unchanged[host] == 0 {
			t.Errorf("%s while %s is off: no phase ran on %s", r.args[0], off, host)
		}
	}
}

// validatesWithout checks that validate passes while a control plane is off, and says that
// the cluster is degraded, and by which machine. Kubernetes may not have noticed it yet.
func (h *ha) validatesWithout(ctx context.Context, t *testing.T, off string) {
	t.Helper()
	probes, r := h.probes(ctx, t, h.lab.Inventory)
	h.took("validate while a control plane is off", r.took)
	degraded := false
	for _, p := range probes {
		switch {
		case p.Status == "failed":
			t.Errorf("%s %s failed: %s", p.Name, p.Target, p.Error)
		case p.Status == "degraded" && strings.Contains(p.Target+p.Evidence, off):
			degraded = true
		}
	}
	if r.code != 0 || !degraded {
		t.Errorf("validate while %s is off does not call the cluster degraded: %s", off, r)
	}
}

//go:build e2e

package e2e

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopBound is what a run may take to stop at a Ctrl-C.
const stopBound = 15 * time.Second

// initialising is the middle of kubeadm init: it has begun to write what a
// control plane is made of, and nothing of it answers yet.
func initialising(e event) bool {
	return e.Kind == "output" && e.Phase == "kubeadm-init" && strings.Contains(e.Message, "[etcd]")
}

// ctrlC interrupts an installation in the middle of kubeadm init, and kubeadm
// itself dies there too, as it would with the machine.
func (s *scenario) ctrlC(ctx context.Context, t *testing.T) {
	r := s.slipway.interrupt(ctx, t, syscall.SIGINT, initialising, s.on("apply", "-o", "json")...)
	s.took("Ctrl-C until it stopped", r.took)
	if r.code != 130 {
		t.Errorf("exit code %d, want 130\n%s", r.code, r)
	}
	if r.took > stopBound {
		t.Errorf("it took %s to stop", r.took)
	}
	if all := events(t, r.stdout); all[len(all)-1].Error == "" {
		t.Error("the last event does not say that the run was stopped")
	}
	s.unlocked(ctx, t, s.lab.names()...)
	s.mustSSH(ctx, t, "cp1", "systemctl kill --signal=KILL slipway-kubeadm-init.service 2>/dev/null || true")
}

// killed lets an installer die without a chance to clean up, in the middle of
// the kubeadm init that goes on from the one that died before.
func (s *scenario) killed(ctx context.Context, t *testing.T) {
	r := s.slipway.interrupt(ctx, t, syscall.SIGKILL, initialising, s.on("apply", "-o", "json")...)
	if r.code != -1 {
		t.Fatalf("exit code %d of a killed process\n%s", r.code, r)
	}
	// Its lock is there until it expires, which nobody has to wait for here.
	if r = s.slipway.run(ctx, t, s.on("apply")...); r.code != 7 {
		t.Errorf("exit code %d at the lock of the dead one, want 7\n%s", r.code, r)
	}
	for _, m := range s.lab.names() {
		s.mustSSH(ctx, t, m, "rm -f "+lockFile)
	}
	r = s.slipway.must(ctx, t, s.on("apply", "-o", "json")...)
	s.took("apply after a killed one", r.took)
	s.nodesReady(ctx, t)
	s.validate(ctx, t)
	nothingChanged(t, s.lab.names(), s.slipway.must(ctx, t, s.on("apply", "-o", "json")...))
}

//go:build e2e

package e2e

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopBound is the time limit for a run to stop after Ctrl-C.
const stopBound = 15 * time.Second

// initialising matches the middle of kubeadm init: it writes the manifests of the
// control plane, and no component answers yet.
func initialising(e event) bool {
	return e.Kind == "output" && e.Phase == "kubeadm-init" && strings.Contains(e.Message, "[etcd]")
}

// ctrlC interrupts apply in the middle of kubeadm init. It then kills kubeadm, as a
// crash of the machine would.
func (s *scenario) ctrlC(ctx context.Context, t *testing.T) {
	r := s.slipway.interrupt(ctx, t, syscall.SIGINT, initialising, s.on("apply", "-o", "json")...)
	s.took("from Ctrl-C until slipway stopped", r.took)
	if r.code != 130 {
		t.Errorf("exit code %d, want 130\n%s", r.code, r)
	}
	if r.took > stopBound {
		t.Errorf("it took %s to stop", r.took)
	}
	if all := events(t, r.stdout); all[len(all)-1].Error == "" {
		t.Error("the last event has no error for the interrupted run")
	}
	s.unlocked(ctx, t, s.lab.names()...)
	s.mustSSH(ctx, t, "cp1", "systemctl kill --signal=KILL slipway-kubeadm-init.service 2>/dev/null || true")
}

// killed kills slipway, without a chance to clean up, in the middle of the kubeadm
// init that resumes the interrupted one, and resumes with another apply.
func (s *scenario) killed(ctx context.Context, t *testing.T) {
	r := s.slipway.interrupt(ctx, t, syscall.SIGKILL, initialising, s.on("apply", "-o", "json")...)
	if r.code != -1 {
		t.Fatalf("exit code %d of a killed process\n%s", r.code, r)
	}
	// The next run knows that the holder of the locks has died.
	r = s.slipway.must(ctx, t, s.on("apply", "--lock-timeout", "0", "-o", "json")...)
	s.took("apply after a killed apply", r.took)
	s.nodesReady(ctx, t)
	s.validate(ctx, t)
	nothingChanged(t, s.lab.names(), s.slipway.must(ctx, t, s.on("apply", "-o", "json")...))
}

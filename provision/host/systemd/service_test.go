package systemd_test

import (
	"context"
	"errors"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/systemd"
)

// undoing is a fake that keeps the undo of the last command.
type undoing struct {
	*hosttest.Fake
	undo string
}

func (u *undoing) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	u.undo = host.Quote(cmd.Undo)
	return u.Fake.Run(ctx, cmd)
}

func TestEnsureService(t *testing.T) {
	t.Parallel()
	const service, file = "containerd.service", "/etc/containerd/config.toml"
	t.Run("a service that runs with its files stays as it is", func(t *testing.T) {
		t.Parallel()
		h := hosttest.NewFake(t, "cp-1")
		h.ExpectQueryScript("state.sh", service, file).Returns("ok\n")
		if err := systemd.EnsureService(t.Context(), h, service, file); err != nil {
			t.Error(err)
		}
	})
	t.Run("any other service is started, and reset stops it", func(t *testing.T) {
		t.Parallel()
		h := &undoing{Fake: hosttest.NewFake(t, "cp-1")}
		h.ExpectQueryScript("state.sh", service, file).Returns("containerd.service is inactive\n")
		h.ExpectRunScript("start.sh", service)
		if err := systemd.EnsureService(t.Context(), h, service, file); err != nil || h.undo != disable {
			t.Errorf("undo %q, %v", h.undo, err)
		}
	})
	t.Run("a service that does not start is an error with its log", func(t *testing.T) {
		t.Parallel()
		h := hosttest.NewFake(t, "cp-1")
		h.ExpectQueryScript("state.sh", service, file).Returns("containerd.service is not enabled\n")
		h.ExpectRunScript("start.sh", service).Fails(1, "containerd: no such file")
		var exit *host.ExitError
		if err := systemd.EnsureService(t.Context(), h, service, file); !errors.As(err, &exit) || exit.Stderr != "containerd: no such file" {
			t.Errorf("got %v", err)
		}
	})
}

const disable = "systemctl disable --quiet --now containerd.service"

func TestEnableIsUndone(t *testing.T) {
	t.Parallel()
	h := &undoing{Fake: hosttest.NewFake(t, "cp-1")}
	h.ExpectRunScript("enable.sh", "containerd.service")
	if err := systemd.Enable(t.Context(), h, "containerd.service"); err != nil || h.undo != disable {
		t.Errorf("undo %q, %v", h.undo, err)
	}
}

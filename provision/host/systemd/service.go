package systemd

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

// EnsureService enables a service and restarts it, unless it is enabled, active,
// and started after the last change of the files.
func EnsureService(ctx context.Context, h host.Host, service string, files ...string) error {
	args := append([]string{service}, files...)
	res, err := h.Query(ctx, host.Script("state.sh", templates.Script("systemd/state.sh"), args...))
	if err != nil {
		return fmt.Errorf("%s: %w", service, err)
	}
	if strings.TrimSpace(string(res.Stdout)) == "ok" {
		return nil
	}
	return enable(ctx, h, host.Script("start.sh", templates.Script("systemd/start.sh"), service), service)
}

// Enable makes a service start at boot. It neither starts nor stops it now.
func Enable(ctx context.Context, h host.Host, service string) error {
	return enable(ctx, h, host.Script("enable.sh", templates.Script("systemd/enable.sh"), service), service)
}

func enable(ctx context.Context, h host.Host, script host.Cmd, service string) error {
	script.Undo = []string{"systemctl", "disable", "--quiet", "--now", service}
	_, err := h.Run(ctx, script)
	return err
}

package systemd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

// StartsDir is where a host keeps the checksums of the files with which slipway
// started each service. A boot starts all services and empties it.
const StartsDir = "/run/slipway/services"

// Service is a systemd service.
type Service struct {
	// Name is the name of its unit.
	Name string
	// Files are the files that it reads when it starts: its program, configuration,
	// unit and drop-ins. Drop-ins and environment files that are not listed are found
	// on the host. A service without Files is never restarted.
	Files []string
	// Reload are those of Files that it reads again when it is reloaded. If no other
	// file has changed, it is not restarted.
	Reload []string
}

// Ensure enables the service, starts it if it is not active, and restarts or reloads it
// if a file that it reads differs from the one with which it was started. In a plan, the
// host does not have the files that the caller writes: pass their paths as written.
func (s Service) Ensure(ctx context.Context, h host.Host, written ...string) error {
	args := append([]string{"state", StartsDir, s.Name}, s.Files...)
	res, err := h.Query(ctx, host.Script("service.sh", templates.Script("systemd/service.sh"), args...))
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	disabled, stopped, changed := parseState(string(res.Stdout))
	for _, path := range written {
		if slices.Contains(s.Files, path) && !slices.Contains(changed, path) {
			changed = append(changed, path)
		}
	}
	switch {
	case stopped != "":
		return s.run(ctx, h, "start", fmt.Sprintf("start %s: it is %s", s.Name, stopped), s.Name)
	case len(changed) > 0:
		slices.Sort(changed)
		verb, action := "start", "restart"
		if !slices.ContainsFunc(changed, func(path string) bool { return !slices.Contains(s.Reload, path) }) {
			verb, action = "reload", "reload"
		}
		return s.run(ctx, h, verb, fmt.Sprintf("%s %s: %s changed", action, s.Name, strings.Join(changed, ", ")))
	case disabled:
		return Enable(ctx, h, s.Name)
	default:
		return nil
	}
}

// parseState parses the output of `service.sh state`. stopped is the state of a
// service that is not active.
func parseState(out string) (disabled bool, stopped string, changed []string) {
	for line := range strings.Lines(out) {
		switch kind, value, _ := strings.Cut(strings.TrimSpace(line), " "); kind {
		case "disabled":
			disabled = true
		case "stopped":
			stopped = value
		case "changed":
			changed = append(changed, value)
		}
	}
	return disabled, stopped, changed
}

// run enables the service and starts or reloads it. With `sh -c`, plans and logs show
// the reason without the arguments of the script. starts is the service if it does not
// run before.
func (s Service) run(ctx context.Context, h host.Host, verb, reason string, starts ...string) error {
	argv := []string{"sh", "-c", string(templates.Script("systemd/service.sh")), "service.sh", verb, StartsDir, s.Name}
	return enable(ctx, h, host.Cmd{Name: reason, Argv: append(argv, s.Files...), Sudo: true, Starts: starts}, s.Name)
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

package container

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/retry"
	templates "slipway.io/slipway/templates/lab"
)

// The time until a machine that does not power off is killed: a little more than
// systemd's limit for a unit that hangs (DefaultTimeoutStopSec, 90 s); less if its
// disk is deleted anyway.
const (
	haltTimeout = 100 * time.Second
	downTimeout = 20 * time.Second
)

// containerName is unique among all containers of localhost.
func (s *session) containerName(m *machine) string { return s.state.Bridge + "-" + m.Name }

// pidOf is the process that runs the machine, 0 if it is off.
func (s *session) pidOf(m *machine) int {
	if proc.alive(m.Process) {
		return m.Process.PID
	}
	if pids := proc.runners(s.treePath(m)); len(pids) > 0 {
		return pids[0]
	}
	return 0
}

// nspawnArgs are the arguments of systemd-nspawn. kubelet and containerd need all
// capabilities, bpf (device cgroups), keyrings, and /dev/kmsg (kubelet's OOM
// watcher). The resolver, time zone and journal of localhost stay outside. systemd
// shuts down on SIGRTMIN+3.
func (s *session) nspawnArgs(m *machine, underSystemd bool) []string {
	args := []string{
		"--boot",
		"--directory=" + s.treePath(m),
		"--machine=" + s.containerName(m),
		"--hostname=" + m.Name,
		"--network-bridge=" + s.state.Bridge,
		"--capability=all",
		"--system-call-filter=@keyring bpf @default",
		"--bind=/dev/kmsg",
		"--resolv-conf=off",
		"--timezone=off",
		"--link-journal=no",
		"--kill-signal=SIGRTMIN+3",
	}
	if !underSystemd {
		// There is no systemd-machined to register with, and no systemd for a unit.
		args = append(args, "--register=no", "--keep-unit")
	}
	return args
}

// ensureRunning starts a machine that is off, and waits until it is ready.
func (s *session) ensureRunning(ctx context.Context, m *machine, timeout time.Duration) error {
	started := time.Now()
	wasOff := s.pidOf(m) == 0
	if wasOff {
		if err := s.start(ctx, m); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	err := retry.Until(ctx, "SSH to answer and systemd to start all units", func(ctx context.Context) error {
		return s.ready(ctx, m)
	}, retry.Options{Timeout: timeout})
	if err != nil {
		return err
	}
	if wasOff {
		s.Logf(m.Name, "is up at %s after %s", m.Address, time.Since(started).Round(100*time.Millisecond))
	}
	if m.Ready {
		return nil
	}
	return s.record(func() { m.Ready = true })
}

// start runs the machine's supervisor in its own session, so that it outlives this
// process, and records it.
func (s *session) start(ctx context.Context, m *machine) error {
	if err := s.clearCgroups(ctx, m); err != nil {
		return err
	}
	if err := s.createCgroups(m); err != nil {
		return err
	}
	if err := localhost.WriteFile(s.supervisorPath(m), templates.Supervise(), 0o644); err != nil {
		return err
	}
	log, err := os.OpenFile(s.logPath(m), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Not CommandContext: the machine runs on after the context ends.
	argv := append([]string{s.supervisorPath(m), strings.Join(m.Cgroups, ":")}, s.nspawnArgs(m, bootedWithSystemd())...)
	cmd := exec.Command("sh", argv...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	ownSession(cmd)
	s.Logf(m.Name, "boots")
	if err := cmd.Start(); err != nil {
		return err
	}
	identity, err := proc.identify(cmd.Process.Pid)
	// Reap it if it ends before this process; init does otherwise.
	go cmd.Wait()
	if err != nil {
		return err
	}
	return s.record(func() { m.Process = identity })
}

// ready checks once whether a machine is up.
func (s *session) ready(ctx context.Context, m *machine) error {
	if s.pidOf(m) == 0 {
		console, _ := os.ReadFile(s.logPath(m))
		return retry.Stop(fmt.Errorf("the machine stopped: %s (see %s)", localhost.LastLines(console, 4), s.logPath(m)))
	}
	conn, err := s.machine(m).Dial(ctx, s.knownHostsPath())
	if err != nil {
		return err
	}
	defer conn.Close()
	// The exit code is an error unless the state is "running"; the state is on
	// standard output in any case.
	out, err := query(ctx, conn, "systemctl", "is-system-running", "--wait")
	switch system := strings.TrimSpace(out); {
	case system == "running":
		return nil
	case system == "degraded":
		failed, _ := query(ctx, conn, "systemctl", "list-units", "--failed", "--plain", "--no-legend")
		failed = localhost.LastLines([]byte(failed), 10)
		if !m.Ready {
			return retry.Stop(fmt.Errorf("units failed at its first boot: %s", failed))
		}
		// Later, units of installed software may fail.
		s.Logf(m.Name, "is up, but units failed: %s", failed)
		return nil
	case system != "":
		return fmt.Errorf("systemd is %s", system)
	default:
		return fmt.Errorf("systemctl is-system-running: %w", err)
	}
}

// query returns the standard output of a command on a machine, also with an error.
func query(ctx context.Context, h host.Host, argv ...string) (string, error) {
	result, err := h.Query(ctx, host.Cmd{Argv: argv})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return exit.Stdout, err
	}
	return string(result.Stdout), err
}

// checkBridge connects from the first machine to all others. They share a bridge:
// only a packet filter of localhost can be in the way.
func (s *session) checkBridge(ctx context.Context) error {
	first := s.state.Machines[0]
	conn, err := s.machine(first).Dial(ctx, s.knownHostsPath())
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, m := range s.state.Machines[1:] {
		err := retry.Until(ctx, first.Name+" to reach "+m.Name, func(ctx context.Context) error {
			c, err := conn.DialContext(ctx, "tcp", netip.AddrPortFrom(m.Address, 22).String())
			if err != nil {
				return err
			}
			return c.Close()
		}, retry.Options{Timeout: 10 * time.Second, AttemptTimeout: 3 * time.Second})
		if err != nil {
			return fmt.Errorf("%w; does this computer filter bridged packets? (sysctl net.bridge.bridge-nf-call-iptables, chain FORWARD)", err)
		}
	}
	return nil
}

// stop shuts a machine down, and kills it if it does not power off in time.
func (s *session) stop(ctx context.Context, m *machine, timeout time.Duration) error {
	if pid := s.pidOf(m); pid != 0 {
		s.Logf(m.Name, "powers off")
		if err := terminate(pid); err != nil {
			return fmt.Errorf("power off: %w", err)
		}
		if err := s.waitUntilOff(ctx, m, timeout); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.Logf(m.Name, "is killed: it did not power off within %s", timeout)
			if err := s.kill(ctx, m); err != nil {
				return err
			}
		}
	}
	return s.stopped(ctx, m)
}

// cutPower kills the init of a machine, and the kernel kills all its other processes:
// none of them gets the time to shut down.
func (s *session) cutPower(ctx context.Context, m *machine) error {
	if s.pidOf(m) == 0 {
		return s.stopped(ctx, m)
	}
	s.Logf(m.Name, "loses its power")
	if leader := proc.leader(s.treePath(m)); leader != 0 {
		if err := kill(leader); err != nil {
			return fmt.Errorf("kill process %d: %w", leader, err)
		}
		// systemd-nspawn deletes the machine's network interface, and ends.
		err := s.waitUntilOff(ctx, m, downTimeout)
		if err == nil {
			return s.stopped(ctx, m)
		}
		if ctx.Err() != nil {
			return err
		}
	}
	if err := s.kill(ctx, m); err != nil {
		return err
	}
	return s.stopped(ctx, m)
}

// stopped cleans up after a machine that is off.
func (s *session) stopped(ctx context.Context, m *machine) error {
	if err := s.clearCgroups(ctx, m); err != nil {
		return err
	}
	if m.Process == nil {
		return nil
	}
	return s.record(func() { m.Process = nil })
}

func (s *session) waitUntilOff(ctx context.Context, m *machine, timeout time.Duration) error {
	return retry.Until(ctx, "the machine to power off", func(context.Context) error {
		if pid := s.pidOf(m); pid != 0 {
			return fmt.Errorf("still running as process %d", pid)
		}
		return nil
	}, retry.Options{Timeout: timeout})
}

// kill ends the processes that run a machine; clearCgroups ends those inside it.
func (s *session) kill(ctx context.Context, m *machine) error {
	pids := proc.runners(s.treePath(m))
	if proc.alive(m.Process) {
		pids = append(pids, m.Process.PID)
	}
	var errs []error
	for _, pid := range pids {
		if err := kill(pid); err != nil {
			errs = append(errs, fmt.Errorf("kill process %d: %w", pid, err))
		}
	}
	return errors.Join(append(errs, s.waitUntilOff(ctx, m, 10*time.Second))...)
}

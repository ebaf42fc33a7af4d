package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/retry"
	templates "slipway.io/slipway/templates/lab"
)

// How long a machine may take to power off before it is killed: a little more
// than systemd gives a unit that hangs (DefaultTimeoutStopSec, 90 s), or only a
// while if its disk is thrown away in any case.
const (
	haltTimeout = 100 * time.Second
	downTimeout = 20 * time.Second
)

// containerName is the machine's name among all containers of the outer machine.
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

// nspawnArgs are the arguments of systemd-nspawn. The reasons for the more
// surprising ones: kubelet and containerd need all capabilities, bpf (device
// cgroups) and keyrings, and /dev/kmsg (kubelet's OOM watcher); the resolver,
// the time zone and the journal of the outer machine are none of the lab's
// affair; systemd powers off in order on SIGRTMIN+3.
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
		// Nobody is there to register with, or to make a unit for it.
		args = append(args, "--register=no", "--keep-unit")
	}
	return args
}

// ensureRunning starts the machine unless it runs, and waits until it is ready.
func (s *session) ensureRunning(ctx context.Context, m *machine, timeout time.Duration) error {
	started := time.Now()
	wasOff := s.pidOf(m) == 0
	if wasOff {
		if err := s.start(ctx, m); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	err := retry.Until(ctx, "sshd to answer and systemd to start all units", func(ctx context.Context) error {
		return s.ready(ctx, m)
	}, retry.Options{Timeout: timeout})
	if err != nil {
		return err
	}
	if wasOff {
		s.Say(m.Name, "is up at %s after %s", m.Address, time.Since(started).Round(100*time.Millisecond))
	}
	if m.Ready {
		return nil
	}
	return s.record(func() { m.Ready = true })
}

// start runs the machine's supervisor in a session of its own, so that it
// outlives this process, and records it.
func (s *session) start(ctx context.Context, m *machine) error {
	if err := s.clearCgroups(ctx, m); err != nil {
		return err
	}
	if err := s.makeCgroups(m); err != nil {
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
	// Not CommandContext: the machine stays when this call's context ends.
	argv := append([]string{s.supervisorPath(m), strings.Join(m.Cgroups, ":")}, s.nspawnArgs(m, bootedWithSystemd())...)
	cmd := exec.Command("sh", argv...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	ownSession(cmd)
	s.Say(m.Name, "boots")
	if err := cmd.Start(); err != nil {
		return err
	}
	identity, err := proc.identify(cmd.Process.Pid)
	// Reap it if it ends while this process is there; init does otherwise.
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
		return retry.Stop(fmt.Errorf("it ended: %s (see %s)", localhost.LastLines(console, 4), s.logPath(m)))
	}
	client, err := s.dial(ctx, m)
	if err != nil {
		return err
	}
	defer client.Close()
	// The exit code is an error unless the state is "running"; the state is on
	// standard output in any case.
	out, err := client.output("systemctl is-system-running --wait")
	switch system := strings.TrimSpace(string(out)); {
	case system == "running":
		return nil
	case system == "degraded":
		failed, _ := client.output("systemctl list-units --failed --plain --no-legend")
		if !m.Ready {
			return retry.Stop(fmt.Errorf("units failed at its first boot: %s", localhost.LastLines(failed, 10)))
		}
		// Software installed since the first boot is not the lab's business.
		s.Say(m.Name, "is up, but units failed: %s", localhost.LastLines(failed, 10))
		return nil
	case system != "":
		return fmt.Errorf("systemd is %s", system)
	default:
		return fmt.Errorf("systemctl is-system-running: %w", err)
	}
}

// stop powers a machine off, and kills it if it does not end in time.
func (s *session) stop(ctx context.Context, m *machine, timeout time.Duration) error {
	if pid := s.pidOf(m); pid != 0 {
		s.Say(m.Name, "powers off")
		if err := terminate(pid); err != nil {
			return fmt.Errorf("power off: %w", err)
		}
		if err := s.awaitOff(ctx, m, timeout); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.Say(m.Name, "is killed: it did not power off within %s", timeout)
			if err := s.kill(ctx, m); err != nil {
				return err
			}
		}
	}
	if err := s.clearCgroups(ctx, m); err != nil {
		return err
	}
	if m.Process == nil {
		return nil
	}
	return s.record(func() { m.Process = nil })
}

func (s *session) awaitOff(ctx context.Context, m *machine, timeout time.Duration) error {
	return retry.Until(ctx, "it to power off", func(context.Context) error {
		if pid := s.pidOf(m); pid != 0 {
			return fmt.Errorf("process %d runs it", pid)
		}
		return nil
	}, retry.Options{Timeout: timeout})
}

// kill ends the processes that run a machine; clearCgroups ends the machine's.
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
	return errors.Join(append(errs, s.awaitOff(ctx, m, 10*time.Second))...)
}

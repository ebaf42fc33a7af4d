//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the slipway binary under test.
type binary struct {
	path string
	// wrapper is a command that runs the binary, if there is one.
	wrapper []string
	// env lacks the settings, SSH agent and kubeconfig of the user.
	env []string
}

func newBinary(path, scratch string) binary {
	b := binary{path: path}
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		if !strings.HasPrefix(name, "SLIPWAY_") && name != "SSH_AUTH_SOCK" {
			b.env = append(b.env, setting)
		}
	}
	b.env = append(b.env, "XDG_CONFIG_HOME="+scratch+"/config", "KUBECONFIG="+scratch+"/kubeconfig")
	return b
}

// result is the outcome of a run of the binary.
type result struct {
	args           []string
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("slipway %s: exit code %d after %.1f s\nstderr:\n%s\nend of stdout:\n%s",
		strings.Join(r.args, " "), r.code, r.took.Seconds(), r.stderr, tail(r.stdout, 30))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (b binary) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := slices.Concat(b.wrapper, []string{b.path}, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = b.env
	// Interrupt it as a user would, and kill it if it does not stop.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

// run runs the binary. A nonzero exit code does not fail the test.
func (b binary) run(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := b.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	r.code = exitCode(t, err)
	return r
}

// must runs the binary and fails the test unless it succeeds.
func (b binary) must(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	r := b.run(ctx, t, args...)
	if r.code != 0 {
		t.Fatal(r)
	}
	return r
}

// exitCode returns -1 for a process that was killed by a signal.
func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// event is a line of `-o json`, with the fields that the tests use.
type event struct {
	Kind    string  `json:"kind"`
	Run     string  `json:"run"`
	Host    string  `json:"host"`
	Phase   string  `json:"phase"`
	Message string  `json:"message"`
	Changes int     `json:"changes"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error"`
}

// events decodes the lines. A line that is not an event fails the test.
func events(t *testing.T, output string) []event {
	t.Helper()
	var all []event
	for line := range strings.Lines(output) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Kind == "" {
			t.Fatalf("not an event (%v): %s", err, line)
		}
		all = append(all, e)
	}
	if len(all) == 0 || all[0].Kind != "run-started" || all[len(all)-1].Kind != "run-finished" {
		t.Fatalf("a run must begin with run-started and end with run-finished:\n%s", tail(output, 10))
	}
	return all
}

// interrupt runs the binary with `-o json` and sends it a signal at the first
// event that matches. A run that ends before that fails the test.
func (b binary) interrupt(ctx context.Context, t *testing.T, signal syscall.Signal, matches func(event) bool, args ...string) result {
	t.Helper()
	r, sent := b.signalAt(ctx, t, signal, matches, 0, args...)
	if !sent {
		t.Fatalf("it ended before the event at which to interrupt it\n%s", r)
	}
	return r
}

// signalAt runs the binary with `-o json` and sends it a signal, a delay after the
// first event that matches; the zero event is the start of the process. The run may
// end before. The result has the time since the signal.
func (b binary) signalAt(ctx context.Context, t *testing.T, signal syscall.Signal, matches func(event) bool, delay time.Duration, args ...string) (r result, sent bool) {
	t.Helper()
	signalled := make(chan time.Time, 1)
	var timer *time.Timer
	r = b.watch(ctx, t, func(p *os.Process, e event) {
		if timer == nil && matches(e) {
			timer = time.AfterFunc(delay, func() {
				now := time.Now()
				if p.Signal(signal) == nil {
					signalled <- now
				}
			})
		}
	}, args...)
	if timer != nil {
		timer.Stop()
	}
	select {
	case since := <-signalled:
		r.took, sent = time.Since(since), true
	default:
	}
	return r, sent
}

// paused runs the binary with `-o json`, and stops it for the duration of a function
// at the first event that matches. A run that ends before that fails the test.
func (b binary) paused(ctx context.Context, t *testing.T, matches func(event) bool, during func(), args ...string) result {
	t.Helper()
	stopped := false
	r := b.watch(ctx, t, func(p *os.Process, e event) {
		if stopped || !matches(e) {
			return
		}
		stopped = true
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			t.Error(err)
		}
		during()
		if err := p.Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}, args...)
	if !stopped {
		t.Fatalf("it ended before the event at which to stop it\n%s", r)
	}
	return r
}

// during runs the binary with `-o json`, and calls a function at the first event that
// matches, while the run continues. The result has the time since the function returned.
// A run that ends before the event fails the test.
func (b binary) during(ctx context.Context, t *testing.T, matches func(event) bool, act func(*os.Process) error, args ...string) result {
	t.Helper()
	var acting sync.WaitGroup
	var acted time.Time
	matched := false
	r := b.watch(ctx, t, func(p *os.Process, e event) {
		if matched || !matches(e) {
			return
		}
		matched = true
		acting.Go(func() {
			if err := act(p); err != nil {
				t.Error(err)
			}
			acted = time.Now()
		})
	}, args...)
	ended := time.Now()
	acting.Wait()
	if !matched {
		t.Fatalf("it ended before the event\n%s", r)
	}
	r.took = ended.Sub(acted)
	return r
}

// watch runs the binary with `-o json`, and calls a function for the zero event at the
// start and for each event that it prints.
func (b binary) watch(ctx context.Context, t *testing.T, see func(*os.Process, event), args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := b.command(ctx, args...)
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	see(cmd.Process, event{})
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		stdout.Write(append(lines.Bytes(), '\n'))
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // the end of a killed run may be half a line
		}
		see(cmd.Process, e)
	}
	err = cmd.Wait()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	r.code = exitCode(t, err)
	return r
}

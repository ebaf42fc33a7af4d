package hosttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

// Local runs commands on localhost, as the user of the test and without sudo.
// The other methods of host.Host panic.
type Local struct {
	host.Host
	// Env extends the environment of the commands; see Programs.
	Env []string
}

// String returns "localhost".
func (Local) String() string { return "localhost" }

// Query runs the command.
func (l Local) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) { return l.Run(ctx, cmd) }

// Run runs the command.
func (l Local) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, cmd.Argv[0], cmd.Argv[1:]...)
	c.Env = append(append(os.Environ(), "LC_ALL=C"), l.Env...)
	c.WaitDelay = time.Second // children of the command may keep its output open
	c.Stdout, c.Stderr = &stdout, &stderr
	if cmd.Output != nil {
		c.Stdout = io.MultiWriter(&stdout, cmd.Output)
	}
	if cmd.Stdin != nil {
		// With c.Stdin, Run would wait for the end of an input that nobody reads.
		stdin, err := c.StdinPipe()
		if err != nil {
			return host.Result{}, err
		}
		go func() {
			_, _ = io.Copy(stdin, cmd.Stdin)
			_ = stdin.Close()
		}()
	}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return host.Result{}, &host.ExitError{
			Host: l.String(), Command: cmd.String(), Code: exit.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String(),
		}
	}
	return host.Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}, err
}

// Script runs a script of package templates, and returns its output and exit code.
func (l Local) Script(t testing.TB, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	result, err := l.Run(t.Context(), host.Script(name, templates.Script(name), args...))
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return exit.Stdout, exit.Stderr, exit.Code
	}
	if err != nil {
		t.Error(err)
	}
	return string(result.Stdout), string(result.Stderr), 0
}

// Programs writes shell scripts to a new directory, by name, and returns a PATH
// variable for Local.Env in which that directory comes first.
func Programs(t testing.TB, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + dir + string(filepath.ListSeparator) + os.Getenv("PATH")
}

package systemd_test

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
)

// localHost runs commands on this computer, without sudo.
type localHost struct {
	host.Host // nil: only commands work
	// programs is a folder that comes first on the PATH.
	programs string
	env      []string
}

func (localHost) String() string { return "local" }

func (l localHost) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	return l.Run(ctx, cmd)
}

func (l localHost) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, cmd.Argv[0], cmd.Argv[1:]...)
	c.Env = append(append(os.Environ(), "LC_ALL=C", "PATH="+l.programs+string(filepath.ListSeparator)+os.Getenv("PATH")), l.env...)
	c.Stdin = cmd.Stdin
	c.WaitDelay = time.Second // its children may hold the output open
	c.Stdout, c.Stderr = &stdout, &stderr
	if cmd.Output != nil {
		c.Stdout = io.MultiWriter(&stdout, cmd.Output)
	}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return host.Result{}, &host.ExitError{
			Host: "local", Command: cmd.String(), Code: exit.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String(),
		}
	}
	return host.Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}, err
}

// program writes an executable script.
func program(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
}

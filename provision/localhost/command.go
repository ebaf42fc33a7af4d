package localhost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Command is a program to run.
type Command struct {
	Argv []string
	// Env is added to the environment of this process.
	Env   []string
	Stdin io.Reader
	// Dir is the working directory; empty for that of this process.
	Dir string
	// Output also receives standard output and standard error as they come.
	Output io.Writer
}

// Run runs a program and returns its standard output.
func Run(ctx context.Context, argv ...string) ([]byte, error) {
	return Command{Argv: argv}.Run(ctx)
}

// Run returns the standard output of the program. An error contains the last
// lines of standard error.
func (c Command) Run(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	endWithParent(cmd)
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), c.Env...)
	cmd.Stdin, cmd.Dir = c.Stdin, c.Dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.Output != nil {
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, c.Output), io.MultiWriter(&stderr, c.Output)
	}
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	reason := LastLines(stderr.Bytes(), 3)
	if reason == "" {
		reason = LastLines(stdout.Bytes(), 3)
	}
	return stdout.Bytes(), fmt.Errorf("%s: %w: %s", c.Argv[0], err, reason)
}

// LastLines joins the last n non-empty lines of an output.
func LastLines(output []byte, n int) string {
	var lines []string
	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

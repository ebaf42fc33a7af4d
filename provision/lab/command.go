package lab

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

// tool is a program of the outer machine.
type tool struct {
	argv []string
	// env is added to the environment, stdin given to the program.
	env   []string
	stdin io.Reader
	// output also receives the combined output as it comes.
	output io.Writer
}

// run runs a program of the outer machine and gives what it wrote to standard
// output. Its error has the last lines of the rest.
func run(ctx context.Context, argv ...string) ([]byte, error) {
	return tool{argv: argv}.run(ctx)
}

func (t tool) run(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.argv[0], t.argv[1:]...)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ownGroup(cmd)
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), t.env...)
	cmd.Stdin = t.stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if t.output != nil {
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, t.output), io.MultiWriter(&stderr, t.output)
	}
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	told := lastLines(stderr.Bytes(), 3)
	if told == "" {
		told = lastLines(stdout.Bytes(), 3)
	}
	return stdout.Bytes(), fmt.Errorf("%s: %w: %s", t.argv[0], err, told)
}

// lastLines are the last non-empty lines of an output, in one.
func lastLines(output []byte, n int) string {
	var lines []string
	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

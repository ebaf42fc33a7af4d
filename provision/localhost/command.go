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

// Command is a program of the outer machine.
type Command struct {
	Argv []string
	// Env is added to the environment, Stdin given to the program; Dir is the
	// folder that it runs in, default the current one.
	Env   []string
	Stdin io.Reader
	Dir   string
	// Output also receives the combined output as it comes.
	Output io.Writer
}

// Run runs a program of the outer machine and gives what it wrote to standard
// output. Its error has the last lines of the rest.
func Run(ctx context.Context, argv ...string) ([]byte, error) {
	return Command{Argv: argv}.Run(ctx)
}

func (t Command) Run(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.Argv[0], t.Argv[1:]...)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ownGroup(cmd)
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), t.Env...)
	cmd.Stdin, cmd.Dir = t.Stdin, t.Dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if t.Output != nil {
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, t.Output), io.MultiWriter(&stderr, t.Output)
	}
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	told := LastLines(stderr.Bytes(), 3)
	if told == "" {
		told = LastLines(stdout.Bytes(), 3)
	}
	return stdout.Bytes(), fmt.Errorf("%s: %w: %s", t.Argv[0], err, told)
}

// LastLines are the last non-empty lines of an output, in one.
func LastLines(output []byte, n int) string {
	var lines []string
	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

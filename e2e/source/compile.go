package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// compile builds all commands of a component into the folder out.
func compile(ctx context.Context, c component, moduleDir, version, arch, out string) error {
	args := c.arguments(version)
	args = append([]string{args[0], "-o", out + string(os.PathSeparator)}, args[1:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = moduleDir
	cmd.Env = append(os.Environ(), c.environment(arch)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// Interrupted, the go command ends its compilers before it ends itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", strings.Join(c.packages, " "), err, tail(stderr.String(), 30))
	}
	return nil
}

// compilePause builds the program that holds a pod's namespaces open.
func compilePause(ctx context.Context, source, out string) error {
	_, err := output(ctx, "gcc", "-Os", "-Wall", "-Werror", "-static", "-s", "-o", out, source)
	return err
}

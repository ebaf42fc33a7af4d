package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// compile builds all commands of a component into the directory out.
func compile(ctx context.Context, c component, moduleDir, version, arch, out string) error {
	args := c.arguments(version)
	args = append([]string{args[0], "-o", out + string(os.PathSeparator)}, args[1:]...)
	cmd := goCommand(ctx, c, moduleDir, arch, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", strings.Join(c.packages, " "), err, tail(stderr.String(), 30))
	}
	return nil
}

// fetch downloads missing modules of components. It ignores errors, which the
// builds report.
func (b *builder) fetch(ctx context.Context, all []component) {
	for _, c := range all {
		args := append([]string{"list", "-deps", "-e"}, c.arguments(b.versions[c.name])[1:]...)
		_ = goCommand(ctx, c, b.moduleDir(c), b.tc.arch, args...).Run()
	}
}

// goCommand returns the go command in the module of a component.
func goCommand(ctx context.Context, c component, moduleDir, arch string, args ...string) *exec.Cmd {
	if c.modfile != "" {
		args = slices.Insert(slices.Clone(args), 1, "-modfile="+c.modfile)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = moduleDir
	// The compiler is faster with less garbage collection. The caller's GOGC
	// has precedence.
	cmd.Env = append([]string{"GOGC=400"}, os.Environ()...)
	cmd.Env = append(cmd.Env, c.environment(arch)...)
	// On an interrupt, the go command stops its compilers first.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// compilePause builds the program of the pause image.
func compilePause(ctx context.Context, compiler, source, out string) error {
	_, err := output(ctx, compiler, "-Os", "-Wall", "-Werror", "-static", "-s", "-o", out, source)
	return err
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/lab/container"
)

// bench makes machines and has a cluster installed on them.
type bench struct {
	options
	scratch string
	log     io.Writer
}

// warm reads the bundle once, so that neither of the two reads it from disk.
func (b *bench) warm(ctx context.Context) error {
	return filepath.WalkDir(b.bundle, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || ctx.Err() != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(io.Discard, file)
		return err
	})
}

// measure times one installation on fresh machines.
func (b *bench) measure(ctx context.Context, c *contender) (took time.Duration, err error) {
	containers := container.Containers{Progress: func(lab.Event) {}}
	defer func() {
		// Also after Ctrl-C.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		defer cancel()
		if downErr := containers.Down(ctx, b.lab); downErr != nil && err == nil {
			err = downErr
		}
	}()
	spec := lab.Spec{Name: b.lab, ControlPlanes: 1, Workers: 2, Bundle: b.bundle}
	if _, err := containers.Up(ctx, spec); err != nil {
		return 0, err
	}
	install, err := c.prepare(b, ctx)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := install(ctx); err != nil {
		return 0, err
	}
	took = time.Since(start)
	return took, b.nodesReady(ctx)
}

func (b *bench) slipwayApply(ctx context.Context) (func(context.Context) error, error) {
	made, err := container.Containers{}.Status(ctx, b.lab)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return b.quietly(ctx, b.slipway, "apply", "--inventory", made.InventoryFile())
	}, nil
}

func (b *bench) byHand(ctx context.Context) (func(context.Context) error, error) {
	made, err := container.Containers{}.Status(ctx, b.lab)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.scratch, "site-")
	if err != nil {
		return nil, err
	}
	if err := writeSite(ctx, dir, made, b.bundle); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return b.quietly(ctx, b.script, dir, b.bundle) }, nil
}

// nodesReady asks the control plane whether both ways lead to the same end.
func (b *bench) nodesReady(ctx context.Context) error {
	made, err := container.Containers{}.Status(ctx, b.lab)
	if err != nil {
		return err
	}
	argv, err := made.SSHArgv(made.Machines[0].Name,
		"sudo", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "nodes", "--no-headers")
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err != nil {
		return fmt.Errorf("ask for the nodes: %w", err)
	}
	if ready := strings.Count(string(out), " Ready "); ready != len(made.Machines) {
		return fmt.Errorf("%d nodes are ready, not %d:\n%s", ready, len(made.Machines), out)
	}
	return nil
}

// quietly runs a program. Its output is kept, and shown if it fails.
func (b *bench) quietly(ctx context.Context, program string, args ...string) error {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	if err != nil {
		fmt.Fprintf(b.log, "%s\n", output.Bytes())
	}
	if b.logs == "" {
		return err
	}
	name := fmt.Sprintf("bench-%s-%s.log", time.Now().Format("150405"), filepath.Base(program))
	return errors.Join(err, os.MkdirAll(b.logs, 0o755), os.WriteFile(filepath.Join(b.logs, name), output.Bytes(), 0o644))
}

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
	"slipway.io/slipway/provision/localhost"
)

// bench creates machines and installs clusters on them.
type bench struct {
	options
	scratch string
	log     io.Writer
}

// warm reads the bundle into the page cache, so that no installation waits for the
// disk.
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

// measure times one installation on new machines.
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
	l, err := b.newLab(ctx, containers)
	if err != nil {
		return 0, err
	}
	install, err := c.prepare(b, ctx, l)
	if err != nil {
		return 0, err
	}
	tooLate := fmt.Errorf("not finished after %s (-limit)", b.limit)
	limited, cancel := context.WithTimeoutCause(ctx, b.limit, tooLate)
	defer cancel()
	start := time.Now()
	err = install(limited)
	took = time.Since(start)
	if err == nil {
		err = b.nodesReady(limited, l)
	}
	if err == nil {
		return took, nil
	}
	if cause := context.Cause(limited); cause != nil {
		err = cause
	}
	return 0, errors.Join(err, b.showCluster(ctx, l))
}

// newLab creates the machines.
func (b *bench) newLab(ctx context.Context, containers container.Containers) (*lab.Lab, error) {
	if !b.ha {
		return containers.Up(ctx, lab.Spec{Name: b.lab, ControlPlanes: 1, Workers: 2, Bundle: b.bundle})
	}
	// The binary serves the packages of haproxy and keepalived to the machines.
	err := b.quietly(ctx, b.slipway, "lab", "up", "--provider", "container", "--name", b.lab,
		"--ha", "--workers", "1", "--machines-only", "--bundle", b.bundle)
	if err != nil {
		return nil, fmt.Errorf("lab up: %w", err)
	}
	return containers.Status(ctx, b.lab)
}

func (b *bench) slipwayApply(_ context.Context, l *lab.Lab) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		return b.quietly(ctx, b.slipway, "apply", "--inventory", l.InventoryFile())
	}, nil
}

func (b *bench) byHand(ctx context.Context, l *lab.Lab) (func(context.Context) error, error) {
	dir, err := os.MkdirTemp(b.scratch, "site-")
	if err != nil {
		return nil, err
	}
	if err := writeSite(ctx, dir, l, b.bundle); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return b.quietly(ctx, b.script, dir, b.bundle) }, nil
}

// nodesReady verifies that the installation leaves all nodes ready.
func (b *bench) nodesReady(ctx context.Context, l *lab.Lab) error {
	out, err := onControlPlane(ctx, l, "get nodes --no-headers")
	if err != nil {
		return err
	}
	if ready := strings.Count(string(out), " Ready "); ready != len(l.Machines) {
		return fmt.Errorf("%d of %d nodes are ready", ready, len(l.Machines))
	}
	return nil
}

// readiness are the columns of `kubectl get nodes` that explain why a node is not
// ready.
const readiness = `-o custom-columns='NAME:.metadata.name,` +
	`READY:.status.conditions[?(@.type=="Ready")].status,MESSAGE:.status.conditions[?(@.type=="Ready")].message'`

// showCluster prints the state of nodes and pods, to explain a failure.
func (b *bench) showCluster(ctx context.Context, l *lab.Lab) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for _, query := range []string{"get nodes " + readiness, "get pods --all-namespaces -o wide", "get events --all-namespaces --field-selector type=Warning"} {
		out, err := onControlPlane(ctx, l, query)
		fmt.Fprintf(b.log, "%s", out)
		if err != nil {
			return err
		}
	}
	return nil
}

// onControlPlane runs kubectl on the control plane, by a command line for a shell.
func onControlPlane(ctx context.Context, l *lab.Lab, query string) ([]byte, error) {
	argv, err := l.SSHArgv(l.Machines[0].Name, "sudo kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 10s "+query)
	if err != nil {
		return nil, err
	}
	return localhost.Run(ctx, argv...)
}

// quietly runs a program. It prints the output only if the program fails.
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

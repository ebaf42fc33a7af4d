// Package staticpod restarts the static pods of kubeadm on a host.
package staticpod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// The static pods of kubeadm, by the names of their containers and manifests.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
)

const (
	// healthyTimeout bounds the wait for one static pod: that of kubeadm. It includes the
	// pause of kubelet before it starts a container that ended twice within minutes.
	healthyTimeout = 4 * time.Minute
	healthyPause   = 500 * time.Millisecond
	askTimeout     = 15 * time.Second // that of kubelet's probes
	ctr            = "/usr/local/bin/ctr"
)

// Restart restarts static pods of the step's host one after another, and waits until each
// of them runs again and is healthy. It ends their containers, which kubelet starts
// again: if slipway is killed at any moment, nothing is missing. Before etcd, leadership
// moves to another member; see MoveLeader.
func Restart(ctx context.Context, s *workflow.Step, names ...string) error {
	for _, name := range names {
		if err := restart(ctx, s, name); err != nil {
			return fmt.Errorf("restart %s: %w", name, err)
		}
	}
	return nil
}

func restart(ctx context.Context, s *workflow.Step, name string) error {
	probe, err := probeOf(ctx, s, name) // a container without a manifest would not come back
	if err != nil {
		return err
	}
	before, err := running(ctx, s, name)
	if err != nil {
		return err
	}
	if len(before) == 0 { // a killed run has stopped it
		return Wait(ctx, s, name)
	}
	if name == Etcd {
		if err := MoveLeader(ctx, s); err != nil {
			return err
		}
	}
	argv := []string{"sh", "-c", string(templates.Script("staticpod/staticpod.sh")), "staticpod.sh", "stop", name}
	if _, err := s.Run(ctx, host.Cmd{Name: "restart static pod " + name, Argv: append(argv, before...), Sudo: true}); err != nil {
		return err
	}
	if s.Planning() {
		return nil
	}
	return wait(ctx, s, name, probe, before)
}

// Wait waits until static pods of the step's host run and are healthy. In a plan, there is
// nothing to wait for.
func Wait(ctx context.Context, s *workflow.Step, names ...string) error {
	if s.Planning() {
		return nil
	}
	for _, name := range names {
		probe, err := probeOf(ctx, s, name)
		if err == nil {
			err = wait(ctx, s, name, probe, nil)
		}
		if err != nil {
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	return nil
}

// wait waits until a container runs that is none of those before, and its probe succeeds.
func wait(ctx context.Context, s *workflow.Step, name string, probe probe, before []string) error {
	started := false
	err := retry.Until(ctx, name, func(ctx context.Context) error {
		if !started {
			now, err := running(ctx, s, name)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(now, func(id string) bool { return !slices.Contains(before, id) }) {
				return errors.New("kubelet has not started it yet")
			}
			started = true
		}
		return probe(ctx)
	}, retry.Options{
		Timeout: healthyTimeout, AttemptTimeout: askTimeout, Pause: retry.Every(healthyPause),
		Progress: func(err error) { s.Waiting(name + ": " + err.Error()) },
	})
	if err != nil {
		return workflow.WithHint(err, fmt.Sprintf("see `journalctl -u kubelet` and /var/log/pods/kube-system_%s-* on %s, fix the problem and rerun the command to resume", name, s.Target.Config.Name))
	}
	return nil
}

// running returns the IDs of the running containers of a static pod.
func running(ctx context.Context, s *workflow.Step, name string) ([]string, error) {
	list := host.Script("staticpod.sh", templates.Script("staticpod/staticpod.sh"), "list", name)
	list.Requires = []string{ctr}
	res, err := s.Query(ctx, list)
	return strings.Fields(string(res.Stdout)), err
}

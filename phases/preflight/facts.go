// Package preflight checks the hosts before anything changes on them.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
)

// Facts reads the facts of each host. It records that a host is unreachable, and
// does not fail: preflight decides whether the run continues without the host.
func Facts() workflow.Phase {
	return workflow.Phase{
		Name:     "facts",
		Title:    "read the facts of the host",
		Why:      "Every later decision follows from these facts. Each run reads them again and remembers none.",
		Manual:   []string{"uname -a; nproc; free -m; df -h; ip addr; ip route; cat /etc/os-release /proc/swaps"},
		On:       workflow.ObservedHosts,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			found, err := read(ctx, s, s.Waiting)
			switch {
			case err == nil:
				s.Target.SetFacts(found)
			case ctx.Err() == nil && connectionFailed(err):
				s.Target.SetUnreachable(err)
				return nil
			}
			return err
		},
	}
}

const (
	// resetTimeout is longer than a reset lets kubeadm run: 5 minutes.
	resetTimeout = 6 * time.Minute
	resetPause   = 500 * time.Millisecond
)

// read reads the facts of a host. The commands of a reset that was killed continue to
// run, and would change what the facts say: it waits until they have ended.
func read(ctx context.Context, h host.Host, waiting func(string)) (*facts.Facts, error) {
	var found *facts.Facts
	err := retry.Do(ctx, func(ctx context.Context) error {
		var err error
		if found, err = facts.Read(ctx, h); err != nil {
			return retry.Stop(err)
		}
		if found.Resetting {
			return errResetting
		}
		return nil
	}, retry.Options{
		Timeout: resetTimeout, Pause: retry.Every(resetPause),
		Progress: func(err error) { waiting(err.Error()) },
	})
	if errors.Is(err, errResetting) && ctx.Err() == nil {
		err = workflow.WithHint(fmt.Errorf("%s: %w", h, err), "see `journalctl -u slipway-kubeadm-reset` and `fuser -v /var/lib/slipway/journal` on the host")
	}
	return found, err
}

var errResetting = errors.New("commands of a reset still run on the host")

// atOnce bounds the hosts that are read at the same time.
const atOnce = 64

// readAll reads the facts of all hosts, or records why it cannot. The hosts that it
// returns are copies: one that is unreachable is a finding of the report, and does
// not fail the run.
func readAll(ctx context.Context, hosts *workflow.Hosts) *workflow.Hosts {
	var group errgroup.Group
	group.SetLimit(atOnce)
	readCopies := func(originals []*workflow.Host) (copies []*workflow.Host) {
		for _, original := range originals {
			h := &workflow.Host{Config: original.Config, Conn: original.Conn}
			copies = append(copies, h)
			group.Go(func() error {
				found, err := read(ctx, h.Conn, func(string) {})
				if err != nil {
					h.SetUnreachable(err)
					return nil
				}
				h.SetFacts(found)
				return nil
			})
		}
		return copies
	}
	all := &workflow.Hosts{All: readCopies(hosts.All), Leaving: readCopies(hosts.Leaving), Lost: hosts.Lost}
	_ = group.Wait() // an error is a fact of the host
	return all
}

// Bundle opens the bundle, and verifies every file before it is used.
func Bundle() workflow.Phase {
	return workflow.Phase{
		Name:  "bundle",
		Title: "verify the bundle",
		Why: "A damaged or altered file is found before any host changes, not when half of them have it. A cluster that " +
			"exists keeps its version: the bundle has that one.",
		Manual:   []string{"slipway bundle verify BUNDLE"},
		On:       workflow.Localhost,
		NeedsAll: []string{"cluster"},
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			if err := s.OpenBundle(ctx, s.Version(), s.Hosts().Architectures()); err != nil {
				return err
			}
			without, err := imageless(s.Cluster(), s.Bundle())
			if err != nil {
				return err
			}
			if len(without) > 0 {
				s.Note("the bundle has no images of %s: each host pulls them itself; `slipway bundle create DIR -i INVENTORY` creates a bundle that has them",
					strings.Join(without, ", "))
			}
			return workflow.WithHint(s.Bundle().VerifyChanged(ctx),
				"create the bundle again with `slipway bundle create`; nothing has been changed on any host")
		},
	}
}

// imageless returns the pod network and the addons that have images in the
// catalogue but none in the bundle.
func imageless(c *config.Cluster, b *bundle.Bundle) ([]string, error) {
	catalogue, err := bundle.OpenCatalogue(c.Artifacts.Catalogue)
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	for _, image := range b.Manifest().Images {
		has[image.Addon] = true
	}
	var without []string
	for _, name := range c.Catalogued() {
		known, err := catalogue.Addon(name)
		if err != nil {
			return nil, err
		}
		if len(known.Images) > 0 && !has[name] {
			without = append(without, name)
		}
	}
	return without, nil
}

// Package preflight looks at the machines before anything is changed on them.
package preflight

import (
	"context"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// Facts reads what each machine looks like.
func Facts() workflow.Phase {
	return workflow.Phase{
		Name:     "facts",
		Title:    "read what the machine looks like",
		Why:      "Every later decision is made from these facts, read at the start of each run and never remembered.",
		Manual:   []string{"uname -a; nproc; free -m; df -h; ip addr; ip route; cat /etc/os-release /proc/swaps"},
		On:       workflow.EachHost,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			found, err := read(ctx, s)
			if err == nil {
				s.Target.SetFacts(found)
			}
			return err
		},
	}
}

// read asks a machine what it looks like, in one round trip.
func read(ctx context.Context, h host.Host) (*facts.Facts, error) {
	before := time.Now()
	res, err := h.Query(ctx, host.Script("facts.sh", templates.Script("facts/facts.sh"), facts.Arguments()...))
	if err != nil {
		return nil, err
	}
	return facts.Parse(res.Stdout, before, time.Now())
}

// atOnce bounds the machines that are connected at the same moment.
const atOnce = 64

// readAll asks all machines, and says why some gave no answer.
func readAll(ctx context.Context, hosts *workflow.Hosts) map[string]error {
	errs := make([]error, len(hosts.All))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, m := range hosts.All {
		group.Go(func() error {
			found, err := read(ctx, m.Conn)
			m.SetFacts(found)
			errs[i] = err
			return nil
		})
	}
	_ = group.Wait()
	failed := map[string]error{}
	for i, m := range hosts.All {
		if errs[i] != nil {
			failed[m.Config.Name] = errs[i]
		}
	}
	return failed
}

// Bundle verifies every file of the bundle before any of it is used.
func Bundle() workflow.Phase {
	return workflow.Phase{
		Name:     "bundle",
		Title:    "verify the bundle",
		Why:      "A damaged or altered file is found before a machine is changed, not when half of them have it.",
		Manual:   []string{"slipway bundle verify BUNDLE"},
		On:       workflow.Localhost,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			without, err := imageless(s.Cluster(), s.Bundle())
			if err != nil {
				return err
			}
			if len(without) > 0 {
				s.Note("the bundle has no images of %s: each host must pull them itself; `slipway bundle create DIR -i INVENTORY` makes one that has them",
					strings.Join(without, ", "))
			}
			return workflow.WithHint(s.Bundle().VerifyChanged(ctx),
				"make the bundle anew with `slipway bundle create`; nothing has been changed on any machine")
		},
	}
}

// imageless are the pod network and the addons that have images in the
// catalogue, and none in the bundle.
func imageless(c *config.Cluster, b *bundle.Bundle) ([]string, error) {
	catalogue, err := bundle.LoadCatalogue()
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

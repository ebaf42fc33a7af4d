// Package preflight checks the hosts before anything changes on them.
package preflight

import (
	"context"
	"slices"
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

// sysctls are the kernel settings that later phases use.
var sysctls = []string{
	"net.ipv4.ip_forward",
	"net.bridge.bridge-nf-call-iptables",
	"net.bridge.bridge-nf-call-ip6tables",
	"fs.inotify.max_user_instances",
	"fs.inotify.max_user_watches",
}

// paths are the folders in which an installation needs free space.
var paths = []string{"/var/lib/containerd", "/var/lib/etcd", "/usr/local/bin", "/opt/cni/bin", "/var/lib/kubelet"}

// Facts reads the facts of each host. That a host cannot be reached is one of
// them: preflight decides whether the run may go on without it.
func Facts() workflow.Phase {
	return workflow.Phase{
		Name:     "facts",
		Title:    "read the facts of the host",
		Why:      "Every later decision follows from these facts. Each run reads them again and remembers none.",
		Manual:   []string{"uname -a; nproc; free -m; df -h; ip addr; ip route; cat /etc/os-release /proc/swaps"},
		On:       workflow.EachHost,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			found, err := read(ctx, s)
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

// read reads the facts of a host in one round trip.
func read(ctx context.Context, h host.Host) (*facts.Facts, error) {
	before := time.Now()
	res, err := h.Query(ctx, host.Script("facts.sh", templates.Script("facts/facts.sh"), factsArguments()...))
	if err != nil {
		return nil, err
	}
	return facts.Parse(res.Stdout, before, time.Now())
}

// factsArguments are the arguments of facts.sh.
func factsArguments() []string { return slices.Concat(sysctls, []string{"--"}, paths) }

// atOnce bounds the hosts that are read at the same time.
const atOnce = 64

// readAll reads the facts of all hosts. It returns the errors by host.
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

// Bundle verifies every file of the bundle before it is used.
func Bundle() workflow.Phase {
	return workflow.Phase{
		Name:     "bundle",
		Title:    "verify the bundle",
		Why:      "A damaged or altered file is found before any host changes, not when half of them have it.",
		Manual:   []string{"slipway bundle verify BUNDLE"},
		On:       workflow.Localhost,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
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

// Package preflight looks at the machines before anything is changed on them.
package preflight

import (
	"context"
	"slices"
	"time"

	"slipway.io/slipway/provision/facts"
	"slipway.io/slipway/provision/remote"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// sysctls are those whose values the later phases want to know.
var sysctls = []string{
	"net.ipv4.ip_forward",
	"net.bridge.bridge-nf-call-iptables",
	"net.bridge.bridge-nf-call-ip6tables",
	"fs.inotify.max_user_instances",
	"fs.inotify.max_user_watches",
}

// paths are where an installation needs free space.
var paths = []string{"/var/lib/containerd", "/var/lib/etcd", "/usr/local/bin", "/var/lib/kubelet"}

// Facts reads what each machine looks like.
func Facts() workflow.Phase {
	return workflow.Phase{
		Name:     "facts",
		Title:    "read what the machine looks like",
		Why:      "Every later decision is made from these facts, read at the start of each run and never remembered.",
		On:       workflow.EachHost,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			args := slices.Concat(sysctls, []string{"--"}, paths)
			before := time.Now()
			res, err := s.Query(ctx, remote.Script("facts.sh", templates.Script("facts/facts.sh"), args...))
			if err != nil {
				return err
			}
			read, err := facts.Parse(res.Stdout, before, time.Now())
			if err != nil {
				return err
			}
			s.Machine.SetFacts(read)
			return nil
		},
	}
}

// Bundle verifies every file of the bundle before any of it is used.
func Bundle() workflow.Phase {
	return workflow.Phase{
		Name:     "bundle",
		Title:    "verify the bundle",
		Why:      "A damaged or altered file is found before a machine is changed, not when half of them have it.",
		On:       workflow.Installer,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			return workflow.WithHint(s.Bundle().VerifyChanged(ctx),
				"make the bundle anew with `slipway bundle create`; nothing has been changed on any machine")
		},
	}
}

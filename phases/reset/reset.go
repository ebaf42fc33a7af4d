// Package reset undoes the changes that the journal of a host lists.
package reset

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// configFile is on a file system that is empty after a boot.
const configFile = "/run/slipway/reset.yaml"

// notOurs reports that the host has no journal: there is nothing to undo.
func notOurs(_ context.Context, s *workflow.Step) (bool, error) {
	return !s.Facts().Exists(facts.Journal), nil
}

// Stop stops kubelet, all pods and containerd.
func Stop() workflow.Phase {
	return workflow.Phase{
		Name:  "stop",
		Title: "stop kubelet, the pods and containerd",
		Why:   "Files are deleted only when nothing uses them.",
		Manual: []string{
			"systemctl disable --now kubelet",
			"ctr -n k8s.io tasks kill --signal SIGKILL --all TASK    # for each of: ctr -n k8s.io tasks list",
			"systemctl disable --now containerd",
			"umount MOUNT    # for each below /var/lib/kubelet and /run/containerd",
		},
		On:    workflow.EachHost,
		Needs: []string{"lock"},
		Done:  notOurs,
		Do: func(ctx context.Context, s *workflow.Step) error {
			document, err := kubeadm.Reset()
			if err != nil {
				return err
			}
			if _, err := host.EnsureFiles(ctx, s.WithoutJournal(), host.File{Path: configFile, Content: document}); err != nil {
				return err
			}
			stop := host.Script("stop.sh", templates.Script("reset/stop.sh"), configFile)
			stop.Output = s.Output()
			_, err = s.WithoutJournal().Run(ctx, stop)
			return err
		},
	}
}

// Network removes the cluster's links and packet filter chains.
func Network() workflow.Phase {
	return workflow.Phase{
		Name:  "network",
		Title: "remove the cluster's links and packet filter chains",
		Why:   "Only the chains and links of Kubernetes and its pod network are removed; other firewall rules stay.",
		Manual: []string{
			"ip link delete cni0; ip link delete flannel.1",
			"iptables-save | grep -v -E 'KUBE-|FLANNEL|CNI-' | iptables-restore",
			"ip netns list    # delete those of pods: cni-...",
		},
		On:    workflow.EachHost,
		Needs: []string{"stop"},
		Done:  notOurs,
		Do: func(ctx context.Context, s *workflow.Step) error {
			_, err := s.WithoutJournal().Run(ctx, host.Script("network.sh", templates.Script("reset/network.sh")))
			return err
		},
	}
}

// Undo undoes the entries of the journal, the last one first, and archives it.
func Undo() workflow.Phase {
	return workflow.Phase{
		Name:  "undo",
		Title: "undo the changes in the journal",
		Why:   "Changed files are restored, created files are deleted, and swap and services return to their previous state.",
		Manual: []string{
			"cat /var/lib/slipway/journal/*    # the changes, and the files that were replaced",
			"rm -rf /etc/kubernetes /var/lib/etcd /var/lib/kubelet /etc/cni /opt/cni    # only what the journal lists as created",
		},
		On:    workflow.EachHost,
		Needs: []string{"network"},
		Done:  notOurs,
		Do:    undo,
	}
}

func undo(ctx context.Context, s *workflow.Step) error {
	entries, err := journal.Read(ctx, s)
	if err != nil {
		return err
	}
	unjournaled := s.WithoutJournal()
	var paths []string
	flush := func() error {
		if len(paths) == 0 {
			return nil
		}
		args := append([]string{journal.Dir}, paths...)
		paths = nil
		_, err := unjournaled.Run(ctx, host.Script("undo.sh", templates.Script("reset/undo.sh"), args...))
		return err
	}
	for _, e := range slices.Backward(entries) {
		switch {
		case e.Kind == "file" || e.Kind == "dir":
			paths = append(paths, e.Kind, strconv.FormatBool(e.Existed), e.Path, e.Made)
		case len(e.Undo) > 0:
			if err := flush(); err != nil {
				return err
			}
			_, err := unjournaled.Run(ctx, host.Cmd{Argv: e.Undo, Sudo: true})
			var exit *host.ExitError
			if errors.As(err, &exit) {
				// A service that no longer exists cannot be disabled. That is reported and not
				// fatal.
				s.Note("%s: %v", strings.Join(e.Undo, " "), err)
			} else if err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	archive := journal.Dir + "-" + time.Now().UTC().Format("20060102T150405Z")
	_, err = unjournaled.Run(ctx, host.Script("archive.sh", templates.Script("reset/archive.sh"), journal.Dir, archive))
	return err
}

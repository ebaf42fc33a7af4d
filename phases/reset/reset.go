// Package reset takes back what the journal of a machine says was done.
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
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// configFile is on a file system that is empty after a boot.
const configFile = "/run/slipway/reset.yaml"

// notOurs says that the machine has no journal: there is nothing to take back.
func notOurs(_ context.Context, s *workflow.Step) (bool, error) {
	return !s.Facts().Exists(journal.Dir), nil
}

// Stop stops kubelet, all pods and containerd.
func Stop() workflow.Phase {
	return workflow.Phase{
		Name:  "stop",
		Title: "stop kubelet, the pods and containerd",
		Why:   "Files are taken away only when nothing uses them any more.",
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
		Why:   "Only chains and links that Kubernetes and its CNI name are removed: a foreign firewall stays as it is.",
		Manual: []string{
			"ip link delete cni0; ip link delete flannel.1",
			"iptables-save | grep -v -E 'KUBE-|FLANNEL|CNI-' | iptables-restore",
			"ip netns list    # and delete those of pods: cni-...",
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

// Undo takes back, the last first, what the journal has, and closes it.
func Undo() workflow.Phase {
	return workflow.Phase{
		Name:  "undo",
		Title: "put back what was there before",
		Why:   "Each file that was changed comes back as it was, each that was made goes, swap and services are as before.",
		Manual: []string{
			"cat /var/lib/slipway/journal/*    # what was changed, and what was there before",
			"rm -rf /etc/kubernetes /var/lib/etcd /var/lib/kubelet /etc/cni /opt/cni    # only what the journal says was absent",
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
	machine := s.WithoutJournal()
	var paths []string
	flush := func() error {
		if len(paths) == 0 {
			return nil
		}
		args := append([]string{journal.Dir}, paths...)
		paths = nil
		_, err := machine.Run(ctx, host.Script("undo.sh", templates.Script("reset/undo.sh"), args...))
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
			_, err := machine.Run(ctx, host.Cmd{Argv: e.Undo, Sudo: true})
			var exit *host.ExitError
			if errors.As(err, &exit) {
				// A service that is gone cannot be disabled: said, not fatal.
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
	_, err = machine.Run(ctx, host.Script("archive.sh", templates.Script("reset/archive.sh"), journal.Dir, archive))
	return err
}

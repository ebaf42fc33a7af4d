// Package hostprep prepares hosts for Kubernetes: their locks, swap, kernel modules
// and sysctls, /etc/hosts, and the prerequisites of storage.
package hostprep

import (
	"context"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// Lock takes the locks of all hosts of the run, and of the cluster if cluster says
// so, until the run ends. It is one phase for all of them: the phases that need it
// change nothing before all of it is locked.
func Lock(cluster func(*workflow.Step) bool) workflow.Phase {
	return workflow.Phase{
		Name:  "lock",
		Title: "lock the hosts and the cluster",
		Why: "Two installers that change the same host or the same cluster at once leave it in a state that neither of them " +
			"expects. Nothing changes anywhere unless every host is locked, and the cluster if it exists. Temporary files of " +
			"runs that were killed are deleted, and files of CNI plugins that a power loss has emptied.",
		Manual: []string{
			"cat /run/slipway/lock    # the installer that holds the lock of the host",
			"kubectl -n kube-system get lease slipway    # the installer that holds the lock of the cluster",
		},
		On:       workflow.Localhost,
		NeedsAll: []string{"preflight"},
		Always:   true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			if err := s.Lock(ctx, cluster(s)); err != nil {
				return err
			}
			for _, h := range s.Hosts().All {
				if err := deleteLeftovers(ctx, s, h); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// deleteLeftovers deletes the temporary files, and the empty files of CNI plugins,
// that were on a host when the run started. The names of temporary files are never used
// again, and the run that wrote them has ended: it had the lock. The plugins wrote
// theirs before the host booted.
func deleteLeftovers(ctx context.Context, s *workflow.Step, h *workflow.Host) error {
	if h.Facts() == nil || h.Unreachable() != nil || !s.Selected(h) || len(h.Facts().Leftovers) == 0 {
		return nil
	}
	rm := append([]string{"rm", "-rf", "--one-file-system", "--"}, h.Facts().Leftovers...)
	_, err := s.On(h).Run(ctx, host.Cmd{Argv: rm, Sudo: true})
	return err
}

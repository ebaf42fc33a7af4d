package controlplane

import (
	"context"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// Files places the files of the inventory that API servers read.
func Files() workflow.Phase {
	return workflow.Phase{
		Name:  "api-server-files",
		Title: "place the files of the API server",
		Why: "An audit policy, an encryption configuration or an admission configuration must exist on each control plane before its " +
			"API server starts with it. They may contain keys: only root can read them, and their content is in no plan or log.",
		Manual: []string{"install -m 600 FILE /etc/kubernetes/slipway/apiserver/"},
		On:     workflow.ControlPlanes,
		Needs:  []string{"finish-reset"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			files, err := kubeadm.APIServerFiles(s.Cluster())
			if err != nil || len(files) == 0 {
				return err
			}
			_, err = host.EnsureFiles(ctx, s, files...)
			return err
		},
	}
}

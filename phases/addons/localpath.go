package addons

import (
	"context"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

func localPath() definition {
	return definition{
		name:  config.AddonLocalPath,
		title: "install storage on the nodes' disks",
		why: "A PersistentVolumeClaim stays pending without a provisioner. local-path creates a directory on the node: enough " +
			"for a lab, without a copy anywhere else.",
		manual: []string{"kubectl apply --server-side -f local-path-storage.yaml    # with the helper image pinned"},
		stages: func(_ context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			image, err := addon.Image(s, a.Name, "docker.io/rancher/local-path-provisioner")
			if err != nil {
				return nil, err
			}
			helper, err := addon.Image(s, a.Name, "docker.io/library/busybox")
			if err != nil {
				return nil, err
			}
			objects, err := addon.Render("addons/local-path.yaml.tmpl", struct {
				Path, Image, HelperImage string
				Default                  bool
			}{a.VolumePath(), image, helper, s.Cluster().DefaultClass(a.Name)})
			return []addon.Stage{{Objects: objects}}, err
		},
		inUse: volumesOf("rancher.io/local-path"),
	}
}

package addons

import (
	"context"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

func headlamp() definition {
	return definition{
		name:  config.AddonHeadlamp,
		title: "install the web console Headlamp",
		why: "It shows workloads in a browser without exposing a port: `slipway console` forwards one and creates a token " +
			"that expires. It replaces the Kubernetes Dashboard, which is archived.",
		manual: []string{
			"kubectl apply -f headlamp.yaml",
			"kubectl -n headlamp port-forward svc/headlamp 8080:80 & kubectl -n headlamp create token console",
		},
		stages: func(_ context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			image, err := addon.Image(s, a.Name, "ghcr.io/headlamp-k8s/headlamp")
			if err != nil {
				return nil, err
			}
			objects, err := addon.Render("addons/headlamp.yaml.tmpl", struct{ Image string }{image})
			return []addon.Stage{{Objects: objects}}, err
		},
	}
}

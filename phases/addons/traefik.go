package addons

import (
	"context"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

func traefik() definition {
	return definition{
		name:  config.AddonTraefik,
		title: "install the ingress controller Traefik on ports 80 and 443",
		why: "An Ingress has no effect without a controller. On bare metal the controller must listen on the nodes' own ports " +
			"80 and 443, since nothing in front of them forwards to a NodePort.",
		manual: []string{"helm install traefik traefik/traefik --set deployment.kind=DaemonSet --set ports.web.hostPort=80 --set ports.websecure.hostPort=443"},
		stages: func(_ context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			image, err := addon.Image(s, a.Name, "docker.io/library/traefik")
			if err != nil {
				return nil, err
			}
			objects, err := addon.Render("addons/traefik.yaml.tmpl", struct {
				Image                  string
				ControlPlanes, Default bool
			}{image, a.ControlPlanes, s.Cluster().DefaultClass(a.Name)})
			return []addon.Stage{{Objects: objects}}, err
		},
	}
}

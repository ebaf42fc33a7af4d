package addons

import (
	"context"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

func gatewayAPI() definition {
	return definition{
		name:   config.AddonGatewayAPI,
		title:  "install the kinds of the Gateway API",
		why:    "Gateway and HTTPRoute follow Ingress; their kinds are not part of Kubernetes, and a controller of yours needs them first.",
		manual: []string{"kubectl apply --server-side -f standard-install.yaml"},
		stages: func(ctx context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			objects, err := addon.Published(ctx, s, a.Name, "standard-install.yaml")
			return []addon.Stage{{Objects: objects}}, err
		},
		inUse: objectsOf(config.AddonGatewayAPI, "gateways.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io",
			"grpcroutes.gateway.networking.k8s.io"),
	}
}

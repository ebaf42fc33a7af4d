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
		title:  "install the CRDs of the Gateway API",
		why:    "Gateway and HTTPRoute succeed Ingress. Kubernetes does not ship their CRDs, and a controller that you install needs them.",
		manual: []string{"kubectl apply --server-side -f standard-install.yaml"},
		stages: func(ctx context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			objects, err := addon.Published(ctx, s, a.Name, "standard-install.yaml")
			return []addon.Stage{{Objects: objects}}, err
		},
		inUse: objectsOf(config.AddonGatewayAPI, "gateways.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io",
			"grpcroutes.gateway.networking.k8s.io"),
	}
}

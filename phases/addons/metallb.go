package addons

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

func metalLB() definition {
	return definition{
		name:  config.AddonMetalLB,
		title: "install the load balancer MetalLB",
		why: "A Service of type LoadBalancer stays pending where no cloud assigns an address. MetalLB assigns one from a pool, " +
			"and announces by ARP which node answers for it.",
		manual: []string{
			"kubectl apply --server-side -f metallb-native.yaml && kubectl -n metallb-system rollout status deploy/controller",
			"kubectl apply -f pools.yaml    # an IPAddressPool and an L2Advertisement",
		},
		stages: func(ctx context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			objects, err := addon.Published(ctx, s, a.Name, "metallb-native.yaml")
			if err != nil {
				return nil, err
			}
			for _, o := range objects {
				leaveCABundle(o)
			}
			var pools []string
			for _, text := range a.Addresses {
				pool, err := config.ParseAddressRange(text)
				if err != nil {
					return nil, err
				}
				pools = append(pools, pool.First.String()+"-"+pool.Last.String())
			}
			pool, err := addon.Render("addons/metallb-pools.yaml.tmpl", struct{ Addresses []string }{pools})
			return []addon.Stage{{Objects: objects}, {Objects: pool}}, err
		},
		inUse: objectsOf(config.AddonMetalLB, "ipaddresspools.metallb.io", "bgppeers.metallb.io"),
	}
}

// leaveCABundle removes a placeholder caBundle from webhooks and from conversions
// of CRDs: the controller writes the real one, which applying the placeholder
// would overwrite each time.
func leaveCABundle(o *unstructured.Unstructured) {
	switch o.GetKind() {
	case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
		webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
		for _, item := range webhooks {
			if webhook, ok := item.(map[string]any); ok {
				unstructured.RemoveNestedField(webhook, "clientConfig", "caBundle")
			}
		}
		if len(webhooks) > 0 {
			o.Object["webhooks"] = webhooks
		}
	case "CustomResourceDefinition":
		unstructured.RemoveNestedField(o.Object, "spec", "conversion", "webhook", "clientConfig", "caBundle")
	}
}

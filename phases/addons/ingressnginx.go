package addons

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

func ingressNginx() definition {
	return definition{
		name:   config.AddonIngressNginx,
		title:  "install the ingress controller ingress-nginx on ports 80 and 443",
		why:    "Existing manifests may require it. On bare metal it must listen on the nodes' own ports.",
		manual: []string{"kubectl apply -f deploy.yaml    # as a DaemonSet, with hostPort 80 and 443"},
		notice: "ingress-nginx was retired in March 2026 and receives no more fixes, not even for security: migrate to traefik or a Gateway API controller",
		stages: func(ctx context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			objects, err := addon.Published(ctx, s, a.Name, "deploy.yaml")
			if err != nil {
				return nil, err
			}
			for _, o := range objects {
				leaveCABundle(o)
				dropDigests(o.Object)
			}
			controller, err := objects.Find("Deployment", "ingress-nginx-controller")
			if err != nil {
				return nil, err
			}
			if err := onHostPorts(controller, a.ControlPlanes); err != nil {
				return nil, err
			}
			class, err := objects.Find("IngressClass", "nginx")
			if err != nil {
				return nil, err
			}
			class.SetAnnotations(map[string]string{
				"ingressclass.kubernetes.io/is-default-class": fmt.Sprint(s.Cluster().DefaultClass(a.Name)),
			})
			return []addon.Stage{{Objects: objects}}, nil
		},
	}
}

// dropDigests removes the digests from image references, which have a tag too: a
// bundle stores images under their tags, and verifies them itself.
func dropDigests(value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			if text, ok := v.(string); ok && key == "image" {
				value[key], _, _ = strings.Cut(text, "@")
			} else {
				dropDigests(v)
			}
		}
	case []any:
		for _, v := range value {
			dropDigests(v)
		}
	}
}

// onHostPorts turns the Deployment into a DaemonSet whose pods listen on the ports
// of their nodes.
func onHostPorts(o *unstructured.Unstructured, controlPlanes bool) error {
	o.SetKind("DaemonSet")
	for _, field := range []string{"replicas", "strategy", "progressDeadlineSeconds"} {
		unstructured.RemoveNestedField(o.Object, "spec", field)
	}
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		return fmt.Errorf("the controller of ingress-nginx has %d containers, want 1: %w", len(containers), err)
	}
	container, _ := containers[0].(map[string]any)
	ports, _ := container["ports"].([]any)
	for _, item := range ports {
		port, _ := item.(map[string]any)
		switch port["name"] {
		case "http":
			port["hostPort"] = int64(80)
		case "https":
			port["hostPort"] = int64(443)
		}
	}
	if err := unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers"); err != nil {
		return err
	}
	if !controlPlanes {
		return nil
	}
	return unstructured.SetNestedSlice(o.Object, []any{map[string]any{
		"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule",
	}}, "spec", "template", "spec", "tolerations")
}

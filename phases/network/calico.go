package network

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// calico returns Calico's manifest with the inventory's pod subnet, MTU and
// encapsulation. It uses the interface that has the Node's address.
func calico(ctx context.Context, s *workflow.Step) (addon.Objects, error) {
	network := s.Cluster().Network
	file := "calico.yaml"
	if network.CNI.Backend == config.BackendVXLAN {
		file = "calico-vxlan.yaml"
	}
	objects, err := addon.Published(ctx, s, config.CNICalico, file)
	if err != nil {
		return nil, err
	}
	node, err := objects.Find("DaemonSet", "calico-node")
	if err != nil {
		return nil, err
	}
	if err := setEnv(node, "containers", "calico-node", calicoEnv(network)); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	// The plugins that phase kubelet installs stay those of the bundle: Calico's image has other versions of some.
	if err := setEnv(node, "initContainers", "install-cni", map[string]string{"SKIP_CNI_BINARIES": bundlePlugins(s)}); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	settings, err := objects.Find("ConfigMap", "calico-config")
	if err != nil {
		return nil, err
	}
	// 0 lets Calico derive it from the interface.
	return objects, unstructured.SetNestedField(settings.Object, strconv.Itoa(network.CNI.MTU), "data", "veth_mtu")
}

// calicoEnv is the environment of calico-node, which selects the encapsulation
// between nodes.
func calicoEnv(network config.Network) map[string]string {
	encapsulation := func(backend string) string {
		if network.CNI.Backend == backend {
			return "Always"
		}
		return "Never"
	}
	return map[string]string{
		"CALICO_IPV4POOL_CIDR":    network.PodSubnet,
		"CALICO_IPV4POOL_VXLAN":   encapsulation(config.BackendVXLAN),
		"CALICO_IPV4POOL_IPIP":    encapsulation(config.BackendIPIP),
		"IP_AUTODETECTION_METHOD": "kubernetes-internal-ip",
	}
}

// bundlePlugins lists the CNI plugins of the bundle, separated by commas.
func bundlePlugins(s *workflow.Step) string {
	var plugins []string
	for _, file := range s.Bundle().Files("", s.Facts().Arch) {
		if plugin, ok := strings.CutPrefix(file.Name, "cni/"); ok {
			plugins = append(plugins, plugin)
		}
	}
	slices.Sort(plugins)
	return strings.Join(plugins, ",")
}

// setEnv sets environment variables of a workload's container, which is in the list "containers" or "initContainers".
func setEnv(o *unstructured.Unstructured, list, name string, wanted map[string]string) error {
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", list)
	if err != nil {
		return err
	}
	for _, item := range containers {
		container, _ := item.(map[string]any)
		if container["name"] != name {
			continue
		}
		env, _ := container["env"].([]any)
		container["env"] = withEnv(env, wanted)
		return unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", list)
	}
	return fmt.Errorf("%s %s has no container %s", o.GetKind(), o.GetName(), name)
}

// withEnv keeps the order of the existing variables, and appends others by name.
func withEnv(env []any, wanted map[string]string) []any {
	left := maps.Clone(wanted)
	for _, item := range env {
		variable, _ := item.(map[string]any)
		name, _ := variable["name"].(string)
		if value, ok := left[name]; ok {
			delete(variable, "valueFrom")
			variable["value"] = value
			delete(left, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		env = append(env, map[string]any{"name": name, "value": left[name]})
	}
	return env
}

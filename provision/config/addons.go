package config

import (
	"cmp"
	"slices"
)

// storageAddons and ingressAddons create a class, of which one is the default.
var (
	storageAddons = []string{AddonLocalPath, AddonLonghorn}
	ingressAddons = []string{AddonTraefik, AddonIngressNginx}
)

// KnownAddons returns the names of the addons that slipway provides, in the order
// of help and docs.
func KnownAddons() []string {
	return []string{
		AddonLocalPath, AddonLonghorn, AddonTraefik, AddonIngressNginx, AddonGatewayAPI, AddonMetalLB, AddonMetricsServer,
		AddonHeadlamp,
	}
}

// PodNetworks returns the names of the pod networks that slipway installs.
func PodNetworks() []string { return []string{CNIFlannel, CNICalico} }

// Known returns whether slipway provides the addon; otherwise it is custom.
func (a Addon) Known() bool { return slices.Contains(KnownAddons(), a.Name) }

// Addon returns the addon with that name; ok is false if there is none.
func (c *Cluster) Addon(name string) (a Addon, ok bool) {
	i := slices.IndexFunc(c.Addons, func(a Addon) bool { return a.Name == name })
	if i < 0 {
		return Addon{}, false
	}
	return c.Addons[i], true
}

// CustomAddons returns the custom addons in the order of the inventory.
func (c *Cluster) CustomAddons() []Addon {
	return slices.DeleteFunc(slices.Clone(c.Addons), Addon.Known)
}

// DefaultClass returns whether the addon's StorageClass or IngressClass is the
// default: as in the inventory, else if the addon is the first of its kind.
func (c *Cluster) DefaultClass(name string) bool {
	for _, kind := range [][]string{storageAddons, ingressAddons} {
		if !slices.Contains(kind, name) {
			continue
		}
		for _, a := range c.Addons {
			if slices.Contains(kind, a.Name) && a.Default != nil && *a.Default {
				return a.Name == name
			}
		}
		for _, a := range c.Addons {
			if slices.Contains(kind, a.Name) && a.Default == nil {
				return a.Name == name
			}
		}
	}
	return false
}

// VolumePath returns the directory on the nodes for the volumes of a storage addon;
// empty for other addons.
func (a Addon) VolumePath() string {
	defaults := map[string]string{AddonLocalPath: "/opt/local-path-provisioner", AddonLonghorn: "/var/lib/longhorn"}
	return cmp.Or(a.Path, defaults[a.Name])
}

// ServerTLSBootstrap returns whether the cluster signs the serving certificates of
// kubelets (serverTLSBootstrap in KubeletConfiguration): as in the inventory's
// kubeletConfiguration, else if metrics-server verifies them.
func (c *Cluster) ServerTLSBootstrap() bool {
	if set, ok := c.Kubernetes.KubeletConfiguration["serverTLSBootstrap"].(bool); ok {
		return set
	}
	return c.Expects(AddonMetricsServer)
}

// Catalogued returns the names, in the bundle's catalogue, of the cluster's pod
// network and of the addons that slipway provides.
func (c *Cluster) Catalogued() []string {
	var names []string
	if c.Network.CNI.Name != CNINone {
		names = append(names, c.Network.CNI.Name)
	}
	for _, a := range c.Addons {
		if a.Known() {
			names = append(names, a.Name)
		}
	}
	return names
}

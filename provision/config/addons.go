package config

import (
	"cmp"
	"slices"
)

// storageAddons and ingressAddons bring a class of which one can be the
// default.
var (
	storageAddons = []string{AddonLocalPath, AddonLonghorn}
	ingressAddons = []string{AddonTraefik, AddonIngressNginx}
)

// KnownAddons are the names of the addons that slipway knows, in the order in
// which help and docs list them.
func KnownAddons() []string {
	return []string{
		AddonLocalPath, AddonLonghorn, AddonTraefik, AddonIngressNginx, AddonGatewayAPI, AddonMetalLB, AddonMetricsServer,
		AddonHeadlamp,
	}
}

// PodNetworks are the names of the pod networks that slipway sets up.
func PodNetworks() []string { return []string{CNIFlannel, CNICalico} }

// Known says whether slipway knows the addon, and it is not the user's own.
func (a Addon) Known() bool { return slices.Contains(KnownAddons(), a.Name) }

// Addon is the addon of that name; ok is false if the inventory has none.
func (c *Cluster) Addon(name string) (a Addon, ok bool) {
	i := slices.IndexFunc(c.Addons, func(a Addon) bool { return a.Name == name })
	if i < 0 {
		return Addon{}, false
	}
	return c.Addons[i], true
}

// OwnAddons are those that slipway does not know, in the inventory's order.
func (c *Cluster) OwnAddons() []Addon {
	return slices.DeleteFunc(slices.Clone(c.Addons), Addon.Known)
}

// DefaultClass says whether the class that the addon brings shall be the
// default one: where the inventory says so, else if it is the first of its
// sort.
func (c *Cluster) DefaultClass(name string) bool {
	for _, sort := range [][]string{storageAddons, ingressAddons} {
		if !slices.Contains(sort, name) {
			continue
		}
		for _, a := range c.Addons {
			if slices.Contains(sort, a.Name) && a.Default != nil && *a.Default {
				return a.Name == name
			}
		}
		for _, a := range c.Addons {
			if slices.Contains(sort, a.Name) && a.Default == nil {
				return a.Name == name
			}
		}
	}
	return false
}

// VolumePath is the folder on the nodes where a storage addon keeps volumes;
// empty for an addon that keeps none.
func (a Addon) VolumePath() string {
	defaults := map[string]string{AddonLocalPath: "/opt/local-path-provisioner", AddonLonghorn: "/var/lib/longhorn"}
	return cmp.Or(a.Path, defaults[a.Name])
}

// ServerTLSBootstrap says whether the cluster signs the certificates with which
// kubelets serve (KubeletConfiguration's field of that name): where
// metrics-server verifies them, or the inventory's kubeletConfiguration says so.
func (c *Cluster) ServerTLSBootstrap() bool {
	if set, ok := c.Kubernetes.KubeletConfiguration["serverTLSBootstrap"].(bool); ok {
		return set
	}
	return c.Expects(AddonMetricsServer)
}

// Catalogued are the names under which the bundle's catalogue has what the
// cluster needs beside Kubernetes: its pod network and the addons that slipway
// knows.
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

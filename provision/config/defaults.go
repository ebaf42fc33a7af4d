package config

import "cmp"

// The defaults, as the doc comments of the types say them.
const (
	// defaultPodSubnet is Flannel's.
	defaultPodSubnet = "10.244.0.0/16"
	// defaultServiceSubnet and DefaultDNSDomain are kubeadm's.
	defaultServiceSubnet = "10.96.0.0/12"
	defaultDNSDomain     = "cluster.local"
	// defaultClusterName is kubeadm's clusterName.
	defaultClusterName = "kubernetes"
)

// SetDefaults fills in what the inventory leaves out, and brings the version
// into the form "v1.36.4". Parse has done it already; it is for a Cluster that
// was made otherwise. The port of SSH stays 0, so that ~/.ssh/config has its
// say.
func (c *Cluster) SetDefaults() {
	setDefault(&c.Metadata.Name, defaultClusterName)
	setDefault(&c.Kubernetes.Version, DefaultKubernetesVersion)
	if v, err := parseVersion(c.Kubernetes.Version); err == nil {
		c.Kubernetes.Version = v
	}
	setDefault(&c.Network.PodSubnet, defaultPodSubnet)
	setDefault(&c.Network.ServiceSubnet, defaultServiceSubnet)
	setDefault(&c.Network.DNSDomain, defaultDNSDomain)
	setDefault(&c.Network.CNI.Name, CNIFlannel)
	if c.Network.CNI.Name != CNINone {
		setDefault(&c.Network.CNI.Backend, BackendVXLAN)
	}
	setDefault(&c.Containerd.CgroupDriver, CgroupDriverSystemd)
	for i := range c.Hosts {
		if len(c.Hosts[i].Roles) == 0 {
			c.Hosts[i].Roles = []Role{RoleWorker}
		}
	}
}

func setDefault[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

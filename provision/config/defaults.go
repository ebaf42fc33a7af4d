package config

import "cmp"

// The defaults, also stated in the doc comments of the types.
const (
	// defaultPodSubnet is Flannel's default.
	defaultPodSubnet = "10.244.0.0/16"
	// defaultServiceSubnet and DefaultDNSDomain are kubeadm's.
	defaultServiceSubnet = "10.96.0.0/12"
	defaultDNSDomain     = "cluster.local"
	// defaultBindPort is kubeadm's. haproxyBindPort leaves it to haproxy: kubeadm#2472.
	defaultBindPort, haproxyBindPort = 6443, 6444
	// defaultVirtualRouterID is the one in keepalived's examples.
	defaultVirtualRouterID = 51
	// defaultClusterName is kubeadm's clusterName.
	defaultClusterName = "kubernetes"
	// defaultBackups is where hosts keep snapshots, DefaultRetention how many stay there,
	// and on localhost.
	defaultBackups, DefaultRetention = "/var/backups/slipway", 7
)

// SetDefaults sets the fields that the inventory omits, and normalizes the
// version to "v1.36.4". Parse calls it. The SSH port stays 0, so that
// ~/.ssh/config applies. The version stays empty: a new default of slipway must not
// change a cluster that exists.
func (c *Cluster) SetDefaults() {
	setDefault(&c.Metadata.Name, defaultClusterName)
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
	for i := range c.Containerd.Mirrors {
		setDefault(&c.Containerd.Mirrors[i].CAFile, c.Artifacts.CAFile)
	}
	setDefault(&c.Proxy.HTTPSProxy, c.Proxy.HTTPProxy)
	if c.ControlPlane.Endpoint != "" {
		setDefault(&c.ControlPlane.LoadBalancer.Type, LoadBalancerExternal)
	}
	if c.ControlPlane.LoadBalancer.Type == LoadBalancerKeepalived {
		setDefault(&c.ControlPlane.LoadBalancer.VirtualRouterID, defaultVirtualRouterID)
	}
	if c.HAProxy() {
		setDefault(&c.ControlPlane.BindPort, haproxyBindPort)
	}
	setDefault(&c.ControlPlane.BindPort, defaultBindPort)
	setDefault(&c.Backup.Directory, defaultBackups)
	setDefault(&c.Backup.Retention, DefaultRetention)
	for i := range c.Hosts {
		if len(c.Hosts[i].Roles) == 0 {
			c.Hosts[i].Roles = []Role{RoleWorker}
		}
	}
}

func setDefault[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

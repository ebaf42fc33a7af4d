// Package config is the inventory: the YAML file that says what the cluster
// shall be. Load decodes it strictly, fills in defaults and reports every
// mistake with its field path and line.
package config

// APIVersion and Kind head every inventory.
const (
	APIVersion = "slipway.io/v1alpha1"
	Kind       = "Cluster"
)

// The values of fields that have a few.
const (
	// CNIFlannel is slipway's Flannel; CNICalico is Calico as its project
	// publishes it; CNINone leaves the pod network to you.
	CNIFlannel = "flannel"
	CNICalico  = "calico"
	CNINone    = "none"
	// BackendVXLAN wraps packets in UDP (port 8472 of Flannel, 4789 of
	// Calico); BackendHostGW (Flannel) routes them between hosts of one network
	// segment; BackendIPIP and BackendBGP (Calico) exchange routes by BGP (TCP
	// port 179), and wrap packets in IP (protocol 4) or not at all.
	BackendVXLAN  = "vxlan"
	BackendHostGW = "host-gw"
	BackendIPIP   = "ipip"
	BackendBGP    = "bgp"
	// CgroupDriverSystemd and CgroupDriverCgroupfs are kubelet's names.
	CgroupDriverSystemd  = "systemd"
	CgroupDriverCgroupfs = "cgroupfs"
)

// Cluster is a whole inventory. Field names are those of kubeadm and
// Kubernetes where one exists.
//
// The struct tags are the one source of what the decoder, Validate and the
// JSON Schema say about a field: json (a field without omitempty or omitzero
// is required), enum (the values it may have), minimum, maximum, example; and
// pattern, which only the schema uses. The doc comments become descriptions in
// it: run `go test ./provision/config -run Schema -update` after a change.
type Cluster struct {
	// APIVersion is that of the inventory's format.
	APIVersion string `json:"apiVersion" enum:"slipway.io/v1alpha1"`
	// Kind is what the file describes.
	Kind string `json:"kind" enum:"Cluster"`
	// Metadata names the cluster.
	Metadata Metadata `json:"metadata,omitzero"`
	// Kubernetes says which version, and how it differs from what slipway
	// renders.
	Kubernetes Kubernetes `json:"kubernetes,omitzero"`
	// Network holds the cluster's ranges and its CNI.
	Network Network `json:"network,omitzero"`
	// ControlPlane is about what all control planes share.
	ControlPlane ControlPlane `json:"controlPlane,omitzero"`
	// Containerd says how the runtime differs from what slipway renders.
	Containerd Containerd `json:"containerd,omitzero"`
	// SSH holds the defaults for all hosts.
	SSH SSH `json:"ssh,omitzero"`
	// Hosts are the machines; at least one of them is a control plane.
	Hosts []Host `json:"hosts"`
	// Addons run on the cluster: storage, ingress, load balancer, and your own.
	Addons []Addon `json:"addons,omitempty"`
	// Artifacts says where binaries and images come from.
	Artifacts Artifacts `json:"artifacts,omitzero"`
	// Preflight tunes the checks that run before anything is changed.
	Preflight Preflight `json:"preflight,omitzero"`
}

// Metadata names the cluster.
type Metadata struct {
	// Name is the cluster's name: kubeadm's clusterName and the kubeconfig
	// context. A DNS label. Default "kubernetes" (as in kubeadm).
	Name string `json:"name,omitempty" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" example:"workshop"`
}

// Kubernetes says which version, and how it differs from what slipway renders.
type Kubernetes struct {
	// Version is "v1.36.4" or "1.36.4", all three parts. Default v1.36.4.
	Version string `json:"version,omitempty" pattern:"^v?[0-9]+[.][0-9]+[.][0-9]+$" example:"v1.36.4"`
	// ClusterConfiguration is merged (RFC 7396, JSON merge patch: null removes
	// a field, a list replaces a list) over kubeadm's v1beta4
	// ClusterConfiguration that slipway renders.
	ClusterConfiguration map[string]any `json:"clusterConfiguration,omitempty"`
	// InitConfiguration is merged, in the same way, over kubeadm's
	// InitConfiguration.
	InitConfiguration map[string]any `json:"initConfiguration,omitempty"`
	// JoinConfiguration is merged, in the same way, over kubeadm's
	// JoinConfiguration.
	JoinConfiguration map[string]any `json:"joinConfiguration,omitempty"`
	// KubeletConfiguration is merged, in the same way, over the
	// KubeletConfiguration (kubelet.config.k8s.io/v1beta1) of all hosts.
	KubeletConfiguration map[string]any `json:"kubeletConfiguration,omitempty"`
	// KubeProxyConfiguration is merged, in the same way, over the
	// KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1).
	KubeProxyConfiguration map[string]any `json:"kubeProxyConfiguration,omitempty"`
}

// Network holds the cluster's ranges and its CNI.
type Network struct {
	// PodSubnet is the IPv4 range of the pods; each host takes a /24 of it.
	// Default 10.244.0.0/16 (Flannel's).
	PodSubnet string `json:"podSubnet,omitempty" example:"10.244.0.0/16"`
	// ServiceSubnet is the IPv4 range of the services, from /12 to /28. Its
	// 10th address is the cluster's DNS. Default 10.96.0.0/12 (kubeadm's).
	ServiceSubnet string `json:"serviceSubnet,omitempty" example:"10.96.0.0/12"`
	// DNSDomain is the domain of the services. Default cluster.local
	// (kubeadm's).
	DNSDomain string `json:"dnsDomain,omitempty" example:"cluster.local"`
	// CNI chooses the pod network.
	CNI CNI `json:"cni,omitzero"`
}

// CNI chooses the pod network.
type CNI struct {
	// Name is "flannel" (default), "calico" (which enforces network policies)
	// or "none" (you install one yourself). It cannot be changed on a cluster
	// that runs.
	Name string `json:"name,omitempty" enum:"flannel,calico,none"`
	// Backend is "vxlan" (default); of Flannel also "host-gw", where all hosts
	// share one network segment; of Calico also "ipip", or "bgp" where the
	// network between hosts carries packets of pods.
	Backend string `json:"backend,omitempty" enum:"vxlan,host-gw,ipip,bgp"`
	// MTU of the pod network in bytes. Default: the CNI derives it from the
	// node's interface.
	MTU int `json:"mtu,omitempty" minimum:"576" maximum:"65535" example:"1450"`
}

// ControlPlane is about what all control planes share.
type ControlPlane struct {
	// Endpoint is kubeadm's controlPlaneEndpoint, "host[:port]", by which
	// hosts and users reach the API servers: a load balancer, a virtual
	// address or a DNS name. Needed for more than one control plane. Default
	// port 6443.
	Endpoint string `json:"endpoint,omitempty" example:"api.cluster.example:6443"`
	// CertSANs are further names and addresses of the API server's
	// certificate.
	CertSANs []string `json:"certSANs,omitempty" example:"api.cluster.example"`
}

// Containerd says how the runtime differs from what slipway renders.
type Containerd struct {
	// CgroupDriver is "systemd" (default) or "cgroupfs". kubelet gets the
	// same value: the two must agree.
	CgroupDriver string `json:"cgroupDriver,omitempty" enum:"systemd,cgroupfs"`
	// Config is merged over the rendered config.toml, by its plugin names:
	// {plugins: {io.containerd.cri.v1.runtime: {restrict_oom_score_adj: true}}}.
	// Whole numbers are int64, others float64.
	Config map[string]any `json:"config,omitempty"`
	// Mirrors stand in for registries; they are written to certs.d/<registry>/hosts.toml.
	Mirrors []Mirror `json:"mirrors,omitempty"`
}

// Mirror stands in for a registry.
type Mirror struct {
	// Registry is the name in image references, such as docker.io or "_default".
	Registry string `json:"registry" example:"docker.io"`
	// Endpoints are asked in order: https://mirror.example:5000.
	Endpoints []string `json:"endpoints" example:"https://mirror.example:5000"`
	// SkipVerify accepts any certificate of the mirror.
	SkipVerify bool `json:"skipVerify,omitempty"`
}

// SSH says how to reach a machine; the top-level one holds the defaults.
type SSH struct {
	// User to log in as. Default: the one that ~/.ssh/config gives, else the
	// current user.
	User string `json:"user,omitempty" example:"admin"`
	// Port of the SSH server. Default: the one that ~/.ssh/config gives, else
	// 22; it is therefore left 0 by SetDefaults.
	Port int `json:"port,omitempty" minimum:"1" maximum:"65535" example:"22"`
	// IdentityFile is a private key; a relative path is relative to the
	// inventory, ~ is the home directory. Default: the agent, then what
	// ~/.ssh/config gives, then the usual files in ~/.ssh.
	IdentityFile string `json:"identityFile,omitempty" example:"~/.ssh/id_ed25519"`
	// KnownHostsFile holds the accepted host keys; a relative path is
	// relative to the inventory. Default ~/.ssh/known_hosts.
	KnownHostsFile string `json:"knownHostsFile,omitempty" example:"known_hosts"`
	// Bastion is a jump host, "[user@]host[:port]", or several of them with
	// commas between, as ProxyJump in ssh_config. "none" is no jump host, for
	// a host that does not need the default one.
	Bastion string `json:"bastion,omitempty" example:"admin@bastion.example"`
}

// Role is what a host does in the cluster.
type Role string

// The roles. A host may have both: a control plane that also takes work.
const (
	RoleControlPlane Role = "control-plane"
	RoleWorker       Role = "worker"
)

// Host is a machine in the inventory. Three lines are enough:
//
//   - name: node-1
//     address: 192.0.2.11
//     roles: [control-plane]
type Host struct {
	// Name is the Node's name: a DNS label.
	Name string `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" example:"node-1"`
	// Address is where SSH answers: an IP address or a DNS name.
	Address string `json:"address" example:"192.0.2.11"`
	// Roles are control-plane and worker, one of them or both. Default
	// [worker].
	Roles []Role `json:"roles,omitempty" enum:"control-plane,worker"`
	// NodeIP is the IPv4 address that the cluster uses for this machine:
	// kubelet's --node-ip, the advertiseAddress, the CNI's interface. Default:
	// Address if that is an IP address of the machine, else the machine's
	// address on the default route.
	NodeIP string `json:"nodeIP,omitempty" example:"198.51.100.11"`
	// SSH overrides the defaults for all hosts field by field.
	SSH SSH `json:"ssh,omitzero"`
	// Labels of the Node.
	Labels map[string]string `json:"labels,omitempty"`
	// Taints of the Node. Default: kubeadm's, a NoSchedule taint on control
	// planes that are not workers too. An empty list is no taint.
	Taints []Taint `json:"taints,omitzero"`
}

// Taint is a Kubernetes taint.
type Taint struct {
	// Key is a qualified name.
	Key string `json:"key" example:"example.com/dedicated"`
	// Value may be empty.
	Value string `json:"value,omitempty" example:"storage"`
	// Effect is NoSchedule, PreferNoSchedule or NoExecute.
	Effect string `json:"effect" enum:"NoSchedule,PreferNoSchedule,NoExecute"`
}

// Artifacts says where binaries and images come from.
type Artifacts struct {
	// Bundle is the path of a bundle folder, relative to the inventory.
	// Empty: a bundle is made online and cached on the installer's machine.
	Bundle string `json:"bundle,omitempty" example:"bundle"`
	// Rewrites replace the beginning of URLs that are fetched from, the longest
	// that fits first: the key by the value.
	Rewrites map[string]string `json:"rewrites,omitempty"`
}

// Preflight tunes the checks.
type Preflight struct {
	// Ignore names checks whose errors do not stop an apply, with the reason.
	Ignore []IgnoredCheck `json:"ignore,omitempty"`
	// Expect names what will be put onto the cluster later, by you: preflight
	// looks for what it needs on the machines and between them.
	Expect []Expected `json:"expect,omitempty"`
}

// Expected is a component that will be put onto the cluster later.
type Expected struct {
	// Name is that of the component.
	Name string `json:"name" enum:"calico,ingress,ingress-nginx,load-balancer,longhorn,metrics-server"`
	// Addresses are those of a load balancer's pool: an address, a range
	// "192.0.2.240-192.0.2.250", or a CIDR.
	Addresses []string `json:"addresses,omitempty" example:"192.0.2.240-192.0.2.250"`
}

// IgnoredCheck is a check that may fail.
type IgnoredCheck struct {
	// Check is its name, as `slipway preflight` prints it.
	Check string `json:"check" example:"disk-latency"`
	// Reason is shown beside the result.
	Reason string `json:"reason" example:"a lab on slow disks"`
}

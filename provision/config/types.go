// Package config is the inventory: the YAML file that describes the cluster.
// Load decodes it strictly, sets defaults and reports every mistake with its
// field path and line.
package config

// APIVersion and Kind head every inventory.
const (
	APIVersion = "slipway.io/v1alpha1"
	Kind       = "Cluster"
)

// The values of enumerated fields.
const (
	// CNIFlannel is Flannel from slipway's templates; CNICalico is Calico as its
	// project publishes it; with CNINone you install the pod network.
	CNIFlannel = "flannel"
	CNICalico  = "calico"
	CNINone    = "none"
	// BackendVXLAN encapsulates packets in UDP (port 8472 for Flannel, 4789 for
	// Calico). BackendHostGW (Flannel) routes them between hosts on one network
	// segment. BackendIPIP and BackendBGP (Calico) exchange routes by BGP (TCP
	// port 179); IPIP encapsulates packets in IP (protocol 4), BGP does not.
	BackendVXLAN  = "vxlan"
	BackendHostGW = "host-gw"
	BackendIPIP   = "ipip"
	BackendBGP    = "bgp"
	// CgroupDriverSystemd and CgroupDriverCgroupfs are the names in kubelet's
	// configuration.
	CgroupDriverSystemd  = "systemd"
	CgroupDriverCgroupfs = "cgroupfs"
	// LoadBalancerKeepalived and the others are the load balancers of the endpoint.
	LoadBalancerKeepalived = "keepalived"
	LoadBalancerKubeVIP    = "kube-vip"
	LoadBalancerLocal      = "local"
	LoadBalancerExternal   = "external"
	// StatePresent and the others are the states of a host.
	StatePresent = "present"
	StateAbsent  = "absent"
	StateLost    = "lost"
	// FirewallManage and FirewallLeave say who opens the firewall of a host.
	FirewallManage = "manage"
	FirewallLeave  = "leave"
)

// Cluster is an inventory. Fields have the names of kubeadm and Kubernetes
// where they exist.
//
// The decoder, Validate and the JSON Schema share the struct tags: json (a field
// without omitempty or omitzero is required), enum, minimum, maximum and
// example. Only the schema uses pattern. The doc comments are the descriptions
// in the schema: run `go test ./provision/config -run Schema -update` after a
// change.
type Cluster struct {
	// APIVersion is the version of the inventory format.
	APIVersion string `json:"apiVersion" enum:"slipway.io/v1alpha1"`
	// Kind of object that the file describes.
	Kind string `json:"kind" enum:"Cluster"`
	// Metadata names the cluster.
	Metadata Metadata `json:"metadata,omitzero"`
	// Kubernetes sets the version and overrides configuration.
	Kubernetes Kubernetes `json:"kubernetes,omitzero"`
	// Network sets the address ranges and the pod network.
	Network Network `json:"network,omitzero"`
	// ControlPlane sets what all control planes share.
	ControlPlane ControlPlane `json:"controlPlane,omitzero"`
	// Etcd says where etcd runs. By default, each control plane runs a member; hosts
	// with the role etcd run the members instead.
	Etcd Etcd `json:"etcd,omitzero"`
	// Containerd configures the container runtime.
	Containerd Containerd `json:"containerd,omitzero"`
	// SSH sets the connection defaults for all hosts.
	SSH SSH `json:"ssh,omitzero"`
	// Firewall is "manage" (default): where firewalld or ufw is active, `slipway apply`
	// opens what the cluster needs, and `slipway reset` closes it again; or "leave": you
	// open it, and preflight says what is closed.
	Firewall string `json:"firewall,omitempty" enum:"manage,leave"`
	// Hosts of the cluster; at least one is a control plane.
	Hosts []Host `json:"hosts"`
	// Leaving are the hosts of the inventory whose state is absent or lost. Parse moves
	// them here from Hosts.
	Leaving []Host `json:"-"`
	// Addons to install: storage, ingress, load balancer, and your own.
	Addons []Addon `json:"addons,omitempty"`
	// Artifacts sets the source of binaries and images.
	Artifacts Artifacts `json:"artifacts,omitzero"`
	// Proxy is the proxy through which slipway and the hosts reach release servers,
	// registries and package mirrors. Default: none for hosts; slipway's own downloads
	// use the proxies of its environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
	Proxy Proxy `json:"proxy,omitzero"`
	// Preflight configures the checks that run before any change.
	Preflight Preflight `json:"preflight,omitzero"`
	// Backup saves the data of the cluster.
	Backup Backup `json:"backup,omitzero"`
}

// Metadata names the cluster.
type Metadata struct {
	// Name is kubeadm's clusterName and the name of the kubeconfig context, a
	// DNS label. Default "kubernetes", as in kubeadm.
	Name string `json:"name,omitempty" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" example:"workshop"`
}

// Kubernetes sets the version and overrides configuration.
type Kubernetes struct {
	// Version of Kubernetes, "v1.36.4" or "1.36.4". Default: the version of the
	// cluster if it exists, else v1.36.4.
	Version string `json:"version,omitempty" pattern:"^v?[0-9]+[.][0-9]+[.][0-9]+$" example:"v1.36.4"`
	// ClusterConfiguration is merged into kubeadm's v1beta4
	// ClusterConfiguration, as a JSON merge patch (RFC 7396): null removes a
	// field, a list replaces a list.
	ClusterConfiguration map[string]any `json:"clusterConfiguration,omitempty"`
	// InitConfiguration is merged into kubeadm's InitConfiguration in the same
	// way.
	InitConfiguration map[string]any `json:"initConfiguration,omitempty"`
	// JoinConfiguration is merged into kubeadm's JoinConfiguration in the same
	// way.
	JoinConfiguration map[string]any `json:"joinConfiguration,omitempty"`
	// KubeletConfiguration is merged into the KubeletConfiguration
	// (kubelet.config.k8s.io/v1beta1) of all hosts in the same way.
	KubeletConfiguration map[string]any `json:"kubeletConfiguration,omitempty"`
	// KubeProxyConfiguration is merged into the KubeProxyConfiguration
	// (kubeproxy.config.k8s.io/v1alpha1) in the same way.
	KubeProxyConfiguration map[string]any `json:"kubeProxyConfiguration,omitempty"`
}

// Network sets the address ranges and the pod network.
type Network struct {
	// PodSubnet is the IPv4 range of pods, of which each host gets a /24.
	// Default 10.244.0.0/16, as in Flannel.
	PodSubnet string `json:"podSubnet,omitempty" example:"10.244.0.0/16"`
	// ServiceSubnet is the IPv4 range of Services, from /12 to /28. Its 10th
	// address is the cluster DNS. Default 10.96.0.0/12, as in kubeadm.
	ServiceSubnet string `json:"serviceSubnet,omitempty" example:"10.96.0.0/12"`
	// DNSDomain is the domain of Services. Default cluster.local, as in
	// kubeadm.
	DNSDomain string `json:"dnsDomain,omitempty" example:"cluster.local"`
	// CNI selects the pod network.
	CNI CNI `json:"cni,omitzero"`
}

// CNI selects the pod network.
type CNI struct {
	// Name is "flannel" (default), "calico" (which enforces network policies)
	// or "none" (you install a pod network). You cannot change it on an existing
	// cluster.
	Name string `json:"name,omitempty" enum:"flannel,calico,none"`
	// Backend is "vxlan" (default). Flannel also supports "host-gw", if all
	// hosts share a network segment; Calico also supports "ipip", and "bgp" if
	// the network between hosts forwards pod addresses.
	Backend string `json:"backend,omitempty" enum:"vxlan,host-gw,ipip,bgp"`
	// MTU of the pod network in bytes. By default, the CNI plugin derives it
	// from the node's interface.
	MTU int `json:"mtu,omitempty" minimum:"576" maximum:"65535" example:"1450"`
}

// ControlPlane sets what all control planes share.
type ControlPlane struct {
	// Endpoint is kubeadm's controlPlaneEndpoint, "host[:port]", where hosts and
	// users reach the API servers: a load balancer, a virtual IP address or a DNS
	// name. Required for more than one control plane. Default port 6443.
	Endpoint string `json:"endpoint,omitempty" example:"api.cluster.example:6443"`
	// LoadBalancer distributes the connections to the endpoint over the API servers.
	LoadBalancer LoadBalancer `json:"loadBalancer,omitzero"`
	// BindPort is the port of the API servers. Default 6443, but 6444 with the load
	// balancers keepalived and local, which own the port of the endpoint.
	BindPort int `json:"bindPort,omitempty" minimum:"1" maximum:"65535" example:"6444"`
	// CertSANs are additional names and addresses in the API server's
	// certificate.
	CertSANs []string `json:"certSANs,omitempty" example:"api.cluster.example"`
	// APIServer are files that slipway places on the control planes, for the API servers.
	APIServer APIServer `json:"apiServer,omitzero"`
}

// APIServer are files of API servers. slipway places them on each control plane, readable
// for root only, mounts them, and sets the arguments. A relative path is relative to the
// inventory.
type APIServer struct {
	// AuditPolicyFile says which requests API servers write to the audit log,
	// /var/log/kubernetes/audit/audit.log: a Policy (audit.k8s.io/v1).
	AuditPolicyFile string `json:"auditPolicyFile,omitempty" example:"audit-policy.yaml"`
	// EncryptionConfigurationFile says how API servers encrypt resources in etcd: an
	// EncryptionConfiguration (apiserver.config.k8s.io/v1). It has keys.
	EncryptionConfigurationFile string `json:"encryptionConfigurationFile,omitempty" example:"encryption.yaml"`
	// AdmissionConfigurationFile configures admission plugins: an AdmissionConfiguration
	// (apiserver.config.k8s.io/v1).
	AdmissionConfigurationFile string `json:"admissionConfigurationFile,omitempty" example:"admission.yaml"`
}

// LoadBalancer distributes the connections to the endpoint over the API servers.
type LoadBalancer struct {
	// Type is "keepalived": the control planes share the address of the endpoint
	// (VRRP), and a haproxy on each of them distributes the connections; "kube-vip":
	// they share it by ARP, in a static pod; "local": a haproxy on each host, for
	// networks without VRRP; or "external" (default): you provide what the endpoint
	// names.
	Type string `json:"type,omitempty" enum:"keepalived,kube-vip,local,external"`
	// VirtualRouterID identifies the control planes of keepalived among the routers
	// of their network segment. Default 51.
	VirtualRouterID int `json:"virtualRouterID,omitempty" minimum:"1" maximum:"255" example:"51"`
}

// Etcd says where etcd runs. By default, each control plane runs a member; hosts with
// the role etcd run the members instead.
type Etcd struct {
	// External is an etcd that exists, and that slipway does not set up.
	External ExternalEtcd `json:"external,omitzero"`
}

// ExternalEtcd is an etcd that exists, and that slipway does not set up.
type ExternalEtcd struct {
	// Endpoints are the client URLs of the members, each with a port.
	Endpoints []string `json:"endpoints" example:"https://192.0.2.31:2379"`
	// CAFile is the certificate of the CA that signed the certificates of the members,
	// in PEM. A relative path is relative to the inventory.
	CAFile string `json:"caFile" example:"etcd/ca.crt"`
	// CertFile is the certificate with which the API servers authenticate to etcd, in
	// PEM.
	CertFile string `json:"certFile" example:"etcd/client.crt"`
	// KeyFile is the key of CertFile, in PEM. slipway copies it to the control planes.
	KeyFile string `json:"keyFile" example:"etcd/client.key"`
}

// Containerd configures the container runtime.
type Containerd struct {
	// CgroupDriver is "systemd" (default) or "cgroupfs", for containerd and
	// kubelet.
	CgroupDriver string `json:"cgroupDriver,omitempty" enum:"systemd,cgroupfs"`
	// Config is merged into containerd's config.toml, such as
	// {plugins: {io.containerd.cri.v1.runtime: {restrict_oom_score_adj: true}}}.
	// Whole numbers are int64, others float64.
	Config map[string]any `json:"config,omitempty"`
	// Mirrors of registries, which slipway writes to
	// certs.d/<registry>/hosts.toml.
	Mirrors []Mirror `json:"mirrors,omitempty"`
}

// Mirror of a registry.
type Mirror struct {
	// Registry is the name in image references, such as docker.io; "_default"
	// means all registries without a mirror.
	Registry string `json:"registry" example:"docker.io"`
	// Endpoints to try in order, such as https://mirror.example:5000.
	Endpoints []string `json:"endpoints" example:"https://mirror.example:5000"`
	// SkipVerify accepts any TLS certificate of the mirror.
	SkipVerify bool `json:"skipVerify,omitempty"`
	// CAFile has the certificates of CAs that signed that of the mirror, in PEM, in
	// addition to those that the hosts trust. A relative path is relative to the
	// inventory. Default: artifacts.caFile.
	CAFile string `json:"caFile,omitempty" example:"company-ca.pem"`
	// CopyCredentials copies the credentials of the endpoints from Docker's
	// configuration on this computer (`docker login`) to the hosts, in files that only
	// root can read.
	CopyCredentials bool `json:"copyCredentials,omitempty"`
}

// SSH sets how to connect to a host. The top-level section holds the defaults.
type SSH struct {
	// User to log in as. Default: the user in ~/.ssh/config, else the current
	// user.
	User string `json:"user,omitempty" example:"admin"`
	// Port of the SSH server. Default: the port in ~/.ssh/config, else 22.
	Port int `json:"port,omitempty" minimum:"1" maximum:"65535" example:"22"`
	// IdentityFile is a private key. A relative path is relative to the
	// inventory, ~ is the home directory. Default: the keys of the agent, then
	// those in ~/.ssh/config, then the default keys in ~/.ssh.
	IdentityFile string `json:"identityFile,omitempty" example:"~/.ssh/id_ed25519"`
	// KnownHostsFile holds the accepted host keys. A relative path is relative
	// to the inventory. Default ~/.ssh/known_hosts.
	KnownHostsFile string `json:"knownHostsFile,omitempty" example:"known_hosts"`
	// Bastion is a jump host, "[user@]host[:port]", or a comma-separated list of
	// them, as ProxyJump in ssh_config. "none" connects directly, for a host that
	// does not need the default bastion.
	Bastion string `json:"bastion,omitempty" example:"admin@bastion.example"`
}

// Role is what a host does in the cluster.
type Role string

// The roles. A host may be a control plane and a worker: then it also runs workloads. A
// host with the role etcd has no other one, and is not a node of the cluster.
const (
	RoleControlPlane Role = "control-plane"
	RoleWorker       Role = "worker"
	RoleEtcd         Role = "etcd"
)

// Host is a host of the cluster. Three lines are enough:
//
//   - name: node-1
//     address: 192.0.2.11
//     roles: [control-plane]
type Host struct {
	// Name is the Node's name: a DNS label.
	Name string `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" example:"node-1"`
	// Address of the SSH server: an IP address or a DNS name.
	Address string `json:"address" example:"192.0.2.11"`
	// Roles are control-plane, worker or both; or etcd, on a host that runs a member of
	// etcd and is not a node. Default [worker].
	Roles []Role `json:"roles,omitempty" enum:"control-plane,worker,etcd"`
	// NodeIP is the IPv4 address of this host in the cluster: kubelet's
	// --node-ip, the advertiseAddress, the CNI plugin's interface. Default:
	// Address if the host has that address, else its address on the default
	// route.
	NodeIP string `json:"nodeIP,omitempty" example:"198.51.100.11"`
	// SSH overrides the connection defaults field by field.
	SSH SSH `json:"ssh,omitzero"`
	// Firewall overrides the setting of the cluster for this host.
	Firewall string `json:"firewall,omitempty" enum:"manage,leave"`
	// Labels of the Node.
	Labels map[string]string `json:"labels,omitempty"`
	// State is "present" (default), "absent" (`slipway apply` drains the node, removes
	// it from the cluster and resets the host) or "lost" (the host does not exist any
	// more: `slipway apply` removes it from the cluster without connecting to it).
	State string `json:"state,omitempty" enum:"present,absent,lost"`
	// Taints of the Node. Default: a NoSchedule taint on a control plane that is
	// not also a worker, as in kubeadm. An empty list means no taints.
	Taints []Taint `json:"taints,omitzero"`
}

// Taint is a Kubernetes taint.
type Taint struct {
	// Key is a qualified name.
	Key string `json:"key" example:"example.com/dedicated"`
	// Value of the taint, which may be empty.
	Value string `json:"value,omitempty" example:"storage"`
	// Effect is NoSchedule, PreferNoSchedule or NoExecute.
	Effect string `json:"effect" enum:"NoSchedule,PreferNoSchedule,NoExecute"`
}

// Artifacts sets the source of binaries and images.
type Artifacts struct {
	// Bundle is the path of a bundle directory, relative to the inventory. By
	// default, slipway downloads a bundle and caches it on localhost.
	Bundle string `json:"bundle,omitempty" example:"bundle"`
	// Catalogue is the path of a catalogue file, relative to the inventory: the
	// releases that slipway can install, with their sums and images. By default,
	// the one that is built into slipway.
	Catalogue string `json:"catalogue,omitempty" example:"catalogue.yaml"`
	// Rewrites replace prefixes of download URLs, the longest match first: the
	// key with the value.
	Rewrites map[string]string `json:"rewrites,omitempty"`
	// Registries replace the registries from which slipway itself pulls images:
	// {registry.k8s.io: mirror.example:5000/k8s}. A mirror without TLS begins with
	// http://. For the hosts, see containerd.mirrors.
	Registries map[string]string `json:"registries,omitempty"`
	// CAFile has certificates of CAs, in PEM, that slipway's own downloads and pulls
	// trust in addition to those of the system. A relative path is relative to the
	// inventory.
	CAFile string `json:"caFile,omitempty" example:"company-ca.pem"`
}

// Proxy is the proxy through which slipway and the hosts reach release servers,
// registries and package mirrors. Its credentials are not in the inventory: see
// docs/sources.md.
type Proxy struct {
	// HTTPProxy is the proxy for http URLs, and for https URLs without httpsProxy.
	HTTPProxy string `json:"httpProxy,omitempty" example:"http://proxy.example:3128"`
	// HTTPSProxy is the proxy for https URLs. Default: httpProxy.
	HTTPSProxy string `json:"httpsProxy,omitempty" example:"http://proxy.example:3128"`
	// NoProxy lists names, domains (.example), addresses and ranges that are reached
	// without the proxy, in addition to the addresses of the hosts, the endpoint, the
	// ranges of pods and Services, and their domain.
	NoProxy []string `json:"noProxy,omitempty" example:".example"`
}

// Preflight configures the checks that run before any change.
type Preflight struct {
	// Ignore lists checks whose errors do not stop `slipway apply`.
	Ignore []IgnoredCheck `json:"ignore,omitempty"`
	// Expect lists components that you will install later: preflight checks
	// their requirements.
	Expect []Expected `json:"expect,omitempty"`
}

// Expected is a component that you will install later.
type Expected struct {
	// Name of the component.
	Name string `json:"name" enum:"calico,ingress,ingress-nginx,load-balancer,longhorn,metrics-server"`
	// Addresses of a load balancer's pool: an address, a range
	// "192.0.2.240-192.0.2.250", or a CIDR.
	Addresses []string `json:"addresses,omitempty" example:"192.0.2.240-192.0.2.250"`
}

// IgnoredCheck is a check whose errors do not stop `slipway apply`.
type IgnoredCheck struct {
	// Check is the name that `slipway preflight` prints.
	Check string `json:"check" example:"disk-latency"`
	// Reason appears beside the result.
	Reason string `json:"reason" example:"a lab on slow disks"`
}

// Backup saves the data of the cluster.
type Backup struct {
	// Schedule is when each host that runs etcd saves a snapshot to its own disk, as a
	// calendar event of systemd, such as "daily" or "*-*-* 03:30". Default: never.
	Schedule string `json:"schedule,omitempty" example:"daily"`
	// Directory is where the hosts keep these snapshots. Default /var/backups/slipway.
	Directory string `json:"directory,omitempty" example:"/var/backups/slipway"`
	// Retention is how many of them each host keeps. Default 7.
	Retention int `json:"retention,omitempty" minimum:"1" maximum:"10000" example:"7"`
	// Recipients are public keys of age, to which `slipway backup create` encrypts the
	// backup, with the keys of the cluster. Default: none; then the keys stay out.
	Recipients []string `json:"recipients,omitempty" example:"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"`
}

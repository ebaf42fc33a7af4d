package cluster

// Outcome is what apply and plan do with a changed field of the inventory if the
// cluster exists.
type Outcome string

const (
	// Applied: the next apply brings the cluster to the new value. A plan shows it.
	Applied Outcome = "applied"
	// Refused: preflight reports an error, and nothing changes.
	Refused Outcome = "refused"
)

// FieldChange is the outcome of a change of one field.
type FieldChange struct {
	// Field is its path, as config.Paths returns it.
	Field   string
	Outcome Outcome
	// Effect says what happens, or what to do instead.
	Effect string
}

// FieldChanges lists the outcome for each field of the inventory, in the order of
// its types.
func FieldChanges() []FieldChange {
	const (
		fixed    = "Set it back, or reinstall the cluster: `slipway reset --yes`, then `slipway apply`."
		kubeadm  = "A setting that is deleted from the inventory gets the default of kubeadm again."
		server   = "The control planes get the file, and their API servers restart one after another, also if its content has changed."
		ssh      = "The next connection uses it."
		slipway  = "The next run uses it."
		registry = "containerd reads it for the next pull, without a restart."
		proxy    = "containerd restarts on each host. Pods keep running. The next run uses it."
		addon    = "The objects of the addon change."
		backup   = "The timer on the hosts that run etcd changes."
	)
	return []FieldChange{
		{"apiVersion", Refused, "The inventory is invalid with another value."},
		{"kind", Refused, "The inventory is invalid with another value."},
		{"metadata.name", Refused, "Certificates and kubeconfigs contain the name. " + fixed},
		{"kubernetes.version", Applied, "Upgrades the cluster: a patch, or the next minor version. Control planes change one after another, then the workers in batches; each node is drained. Older versions, and more than one minor version at once, are refused. Without the field, the cluster keeps its version. See [Upgrade a cluster](upgrade.md)."},
		{"kubernetes.clusterConfiguration", Applied, "API server, controller manager, scheduler or etcd restart if their arguments change, on one control plane after another. " + kubeadm + " Refused: `etcd.local.dataDir`, the names of certificates of etcd, `dns`, `proxy`, and the lifetime of the CA, which `kubeadm init` has used."},
		{"kubernetes.initConfiguration", Refused, "`kubeadm init` has read it. " + fixed},
		{"kubernetes.joinConfiguration", Applied, "Hosts that join later use it. `kubeadm join` has read it on the others."},
		{"kubernetes.kubeletConfiguration", Applied, "kubelet restarts, on one control plane after another, then on the workers in batches. Pods keep running. " + kubeadm},
		{"kubernetes.kubeProxyConfiguration", Applied, "kube-proxy restarts, on one node after another. Connections through Services continue."},
		{"network.podSubnet", Refused, "Pods and nodes have addresses of the range. " + fixed},
		{"network.serviceSubnet", Refused, "Services and certificates have addresses of the range. " + fixed},
		{"network.dnsDomain", Refused, "Pods and certificates contain the domain. " + fixed},
		{"network.cni.name", Refused, "Pods have addresses of the pod network, and the kernels its rules. " + fixed},
		{"network.cni.backend", Refused, "Pods on nodes with different backends do not reach each other. " + fixed},
		{"network.cni.mtu", Applied, "The pod network restarts on each node. Running pods keep their MTU until they are started again."},
		{"controlPlane.endpoint", Refused, "Certificates and kubeconfigs contain the endpoint. A cluster that was created without one can only get the address of its control plane: see [A cluster without an endpoint](nodes.md#a-cluster-without-an-endpoint). " + fixed},
		{"controlPlane.loadBalancer.type", Refused, "All hosts reach the API servers through it. " + fixed},
		{"controlPlane.loadBalancer.virtualRouterID", Applied, "keepalived reads its configuration again on all control planes. Connections through the endpoint break once, and new ones work after about a second."},
		{"controlPlane.bindPort", Refused, "The load balancer, kubeconfigs and the pod network have the port. " + fixed},
		{"controlPlane.certSANs", Applied, "Each API server gets a certificate with the names, and reads it without a restart."},
		{"controlPlane.apiServer.auditPolicyFile", Applied, server},
		{"controlPlane.apiServer.encryptionConfigurationFile", Applied, server + " An object is encrypted with it when it is next written: see [Change a key](inventory.md#files-of-the-api-server)."},
		{"controlPlane.apiServer.admissionConfigurationFile", Applied, server},
		{"etcd.external.endpoints", Refused, "The data of the cluster is there. The same holds for the set of hosts with the role `etcd`. " + fixed},
		{"etcd.external.caFile", Applied, "The control planes get the new file. API servers read it when they start."},
		{"etcd.external.certFile", Applied, "The control planes get the new file. API servers use it for new connections to etcd."},
		{"etcd.external.keyFile", Applied, "The control planes get the new file. API servers use it for new connections to etcd."},
		{"containerd.cgroupDriver", Refused, "Running pods keep their cgroups, and kubelet needs the same driver. " + fixed},
		{"containerd.config", Applied, "containerd restarts. Pods keep running."},
		{"containerd.mirrors[].registry", Applied, registry + " The configuration of a mirror that is deleted from the list is deleted."},
		{"containerd.mirrors[].endpoints", Applied, registry},
		{"containerd.mirrors[].skipVerify", Applied, registry},
		{"containerd.mirrors[].caFile", Applied, registry},
		{"containerd.mirrors[].copyCredentials", Applied, registry + " Credentials are copied by each apply."},
		{"ssh.user", Applied, ssh},
		{"ssh.port", Applied, ssh},
		{"ssh.identityFile", Applied, ssh},
		{"ssh.knownHostsFile", Applied, ssh},
		{"ssh.bastion", Applied, ssh},
		{"firewall", Applied, "`manage`: the active firewalls are opened. `leave`: slipway changes nothing more in them. What it has opened stays open until the reset."},
		{"hosts[].name", Refused, "A node cannot be renamed. Remove it with the old name (`slipway node remove NAME`), and apply with the new one. A new host joins. A host that is deleted from the list is reported, and its Node stays: to remove it, set `state` instead."},
		{"hosts[].address", Applied, "The next connection uses it. A change that would also change the address of the node is refused: set `nodeIP` to the old one."},
		{"hosts[].roles", Refused, "A node does not become a control plane, or cease to be one; a host with the role `etcd` does not become a node. On a control plane, the role `worker` is applied: its taint changes."},
		{"hosts[].nodeIP", Refused, "Certificates, etcd and the pod network contain the address. Remove the node (`slipway node remove NAME`), and let its host join again with `state: present` and the new address."},
		{"hosts[].ssh.user", Applied, ssh},
		{"hosts[].ssh.port", Applied, ssh},
		{"hosts[].ssh.identityFile", Applied, ssh},
		{"hosts[].ssh.knownHostsFile", Applied, ssh},
		{"hosts[].ssh.bastion", Applied, ssh},
		{"hosts[].firewall", Applied, "As `firewall`, for one host."},
		{"hosts[].labels", Applied, "The labels of the Node change. Labels that somebody else set stay."},
		{"hosts[].state", Applied, "`absent`: the node is drained and removed from the cluster, and its host is reset. `lost`: the node is removed without a login to its host, and only if nothing answers there. `present` again: the host joins. See [Add, remove and replace nodes](nodes.md)."},
		{"hosts[].taints[].key", Applied, "The taints of the Node change."},
		{"hosts[].taints[].value", Applied, "The taints of the Node change."},
		{"hosts[].taints[].effect", Applied, "The taints of the Node change."},
		{"addons[].name", Applied, "A new addon is installed, and one that is deleted from the list is removed, unless something uses it."},
		{"addons[].default", Applied, "The default class changes. Existing volumes and Ingresses keep their class."},
		{"addons[].controlPlanes", Applied, addon},
		{"addons[].addresses", Applied, "MetalLB assigns addresses of the new pool. A Service whose address is no longer in the pool gets another one."},
		{"addons[].replicas", Applied, "New volumes use it. Existing volumes keep their replicas."},
		{"addons[].path", Applied, "New volumes use it. Existing volumes stay where they are."},
		{"addons[].namespace", Applied, "The objects are created in the new namespace and deleted in the old one."},
		{"addons[].manifests[].path", Applied, addon},
		{"addons[].manifests[].url", Applied, addon},
		{"addons[].manifests[].sha256", Applied, addon},
		{"addons[].chart.path", Applied, addon},
		{"addons[].chart.url", Applied, addon},
		{"addons[].chart.sha256", Applied, addon},
		{"addons[].chart.oci", Applied, addon},
		{"addons[].chart.version", Applied, addon},
		{"addons[].chart.values", Applied, addon},
		{"addons[].patches[].kind", Applied, addon},
		{"addons[].patches[].name", Applied, addon},
		{"addons[].patches[].namespace", Applied, addon},
		{"addons[].patches[].patch", Applied, addon},
		{"artifacts.bundle", Applied, "The next run uses it. A bundle of another Kubernetes version than `kubernetes.version`, or else the cluster's, is refused."},
		{"artifacts.catalogue", Applied, "The next run uses it. A cluster that exists keeps its Kubernetes version, unless `kubernetes.version` names another one."},
		{"artifacts.rewrites", Applied, slipway},
		{"artifacts.registries", Applied, slipway},
		{"artifacts.caFile", Applied, slipway + " It is also the default of `containerd.mirrors[].caFile`."},
		{"proxy.httpProxy", Applied, proxy},
		{"proxy.httpsProxy", Applied, proxy},
		{"proxy.noProxy", Applied, proxy},
		{"preflight.ignore[].check", Applied, slipway},
		{"preflight.ignore[].reason", Applied, slipway},
		{"preflight.expect[].name", Applied, slipway},
		{"preflight.expect[].addresses", Applied, slipway},
		{"backup.schedule", Applied, backup + " Without the field, the timer is deleted, and the backups stay."},
		{"backup.directory", Applied, backup + " Backups in the old directory stay there, and none of them is deleted any more."},
		{"backup.retention", Applied, backup + " The next backup deletes those that are too many."},
		{"backup.recipients", Applied, "The next `slipway backup create` encrypts to them. Backups that exist stay as they are."},
	}
}

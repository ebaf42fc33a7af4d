package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// sum is a valid sha256.
const sum = "a1df919d9721cf667accdc3e72848911b0cb25cfab7d2478ad0c996302c95744"

// addons adds a list of addons, in YAML, to a cluster.
func addons(list string) func(*Cluster) {
	return func(c *Cluster) {
		if err := yaml.Unmarshal([]byte(list), &c.Addons); err != nil {
			panic(err)
		}
	}
}

// valid returns the Cluster that each case edits.
func valid() *Cluster {
	c := &Cluster{
		APIVersion: APIVersion, Kind: Kind,
		Hosts: []Host{
			{Name: "a", Address: "192.0.2.11", Roles: []Role{RoleControlPlane}},
			{Name: "b", Address: "192.0.2.12"},
		},
	}
	c.SetDefaults()
	return c
}

func addControlPlanes(c *Cluster, n int) {
	for i := range n {
		c.Hosts = append(c.Hosts, Host{
			Name: fmt.Sprintf("cp-%d", i), Address: fmt.Sprintf("198.51.100.%d", i+1), Roles: []Role{RoleControlPlane},
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*Cluster){
		"the smallest inventory": func(*Cluster) {},
		"three control planes with an endpoint": func(c *Cluster) {
			addControlPlanes(c, 2)
			c.ControlPlane.Endpoint = "api.example"
		},
		"two control planes when the check is ignored": func(c *Cluster) {
			addControlPlanes(c, 1)
			c.ControlPlane.Endpoint = "203.0.113.1:8443"
			c.Preflight.Ignore = []IgnoredCheck{{CheckEvenEtcd, "the third one comes next week"}}
		},
		"two control planes that are left when the third one is lost": func(c *Cluster) {
			addControlPlanes(c, 2)
			c.ControlPlane.Endpoint = "api.example"
			c.Hosts[len(c.Hosts)-1].State = StateLost
		},
		"four control planes while the fifth one leaves": func(c *Cluster) {
			addControlPlanes(c, 4)
			c.ControlPlane.Endpoint = "api.example"
			c.Hosts[len(c.Hosts)-1].State = StateAbsent
		},
		"one address with a port for each host": func(c *Cluster) {
			c.Hosts[0].Address, c.Hosts[1].Address = "127.0.0.1", "127.0.0.1"
			c.Hosts[0].SSH.Port, c.Hosts[1].SSH.Port = 2200, 2201
		},
		"SSH over IPv6 with an IPv4 node": func(c *Cluster) {
			c.Hosts[0].Address, c.Hosts[0].NodeIP = "2001:db8::1", "192.0.2.11"
		},
		"a pod subnet with a /24 for each host": func(c *Cluster) { c.Network.PodSubnet = "10.1.0.0/23" },
		"the largest service subnet":            func(c *Cluster) { c.Network.ServiceSubnet = "10.96.0.0/12" },
		"the smallest service subnet":           func(c *Cluster) { c.Network.ServiceSubnet = "10.96.0.0/28" },
		"the oldest minor":                      func(c *Cluster) { c.Kubernetes.Version = "v1.35.0" },
		"the newest minor":                      func(c *Cluster) { c.Kubernetes.Version = "v1.37.2" },
		"a kubelet field of the newest minor": func(c *Cluster) {
			c.Kubernetes = Kubernetes{Version: "v1.37.2", KubeletConfiguration: map[string]any{"defaultPodSysctls": map[string]any{"net.core.somaxconn": "1024"}}}
		},
		"a chain of jump hosts": func(c *Cluster) { c.SSH.Bastion = "a@one.example:2222,192.0.2.9" },
		"no jump host":          func(c *Cluster) { c.Hosts[0].SSH.Bastion = "none" },
		"an external load balancer on the port of kubelet": func(c *Cluster) {
			c.ControlPlane = ControlPlane{Endpoint: "api.example:10250", BindPort: 10241, LoadBalancer: LoadBalancer{Type: LoadBalancerExternal}}
		},
		"a mirror for all registries": func(c *Cluster) {
			c.Containerd.Mirrors = []Mirror{{Registry: "_default", Endpoints: []string{"http://192.0.2.9:5000/v2"}}}
		},
		"a wildcard in the certificate": func(c *Cluster) { c.ControlPlane.CertSANs = []string{"*.api.example", "192.0.2.1"} },
		"the settings of a machine container": func(c *Cluster) {
			c.Containerd.CgroupDriver = "cgroupfs"
			c.Kubernetes.KubeletConfiguration = map[string]any{
				"failCgroupV1": false, "imageGCHighThresholdPercent": 100,
				"evictionHard": map[string]any{"imagefs.available": "0%"},
			}
			c.Kubernetes.KubeProxyConfiguration = map[string]any{"conntrack": map[string]any{"maxPerCore": 0, "min": 0}}
			c.Kubernetes.InitConfiguration = map[string]any{
				"nodeRegistration": map[string]any{"ignorePreflightErrors": []any{"SystemVerification"}},
			}
		},
		"kubeadm's v1beta4 fields": func(c *Cluster) {
			c.Kubernetes.ClusterConfiguration = map[string]any{
				"apiServer":                 map[string]any{"extraArgs": []any{map[string]any{"name": "v", "value": "4"}}},
				"etcd":                      map[string]any{"local": map[string]any{"dataDir": "/data/etcd"}},
				"certificateValidityPeriod": "8760h", "proxy": map[string]any{"disabled": true},
			}
		},
		"a null that removes a field": func(c *Cluster) {
			c.Kubernetes.KubeletConfiguration = map[string]any{"resolvConf": nil}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := valid()
			edit(c)
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each case has exactly one problem, so that a mistake is neither missed nor
// reported twice.
func TestValidateRejects(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(*Cluster)
		want string
	}{
		"a cluster name in capitals": {func(c *Cluster) { c.Metadata.Name = "Lab" }, `metadata.name: "Lab" is not a DNS label`},
		"no hosts":                   {func(c *Cluster) { c.Hosts = nil }, "hosts: required field is missing; list at least one, with name, address, roles, nodeIP, ssh, firewall, labels, state, taints"},
		"an empty list of hosts":     {func(c *Cluster) { c.Hosts = []Host{} }, "hosts: required field is missing"},
		"no control plane":           {func(c *Cluster) { c.Hosts[0].Roles = []Role{RoleWorker} }, "hosts: no host is a control plane"},
		"an unknown role":            {func(c *Cluster) { c.Hosts[0].Roles = []Role{"controlplane"} }, `hosts[0].roles[0]: unknown value "controlplane"; did you mean control-plane?`},
		"a role twice":               {func(c *Cluster) { c.Hosts[1].Roles = []Role{"worker", "worker"} }, "hosts[1].roles[1]: duplicate role worker"},
		"data of etcd elsewhere": {func(c *Cluster) {
			addControlPlanes(c, 2)
			c.ControlPlane.Endpoint = "api.example"
			c.Kubernetes.ClusterConfiguration = map[string]any{"etcd": map[string]any{"local": map[string]any{"dataDir": "/data/etcd"}}}
		}, "kubernetes.clusterConfiguration.etcd.local.dataDir: with several control planes, the data of etcd must be in /var/lib/etcd"},
		"two control planes beside a worker that leaves": {func(c *Cluster) {
			addControlPlanes(c, 1)
			c.ControlPlane.Endpoint = "api.example"
			c.Hosts[1].State = StateLost
		}, "hosts: 2 control planes tolerate no more failures than 1"},
		"an even number of control planes": {func(c *Cluster) { addControlPlanes(c, 1); c.ControlPlane.Endpoint = "api.example" }, "hosts: 2 control planes tolerate no more failures than 1: etcd needs a majority"},
		"three without endpoint":           {func(c *Cluster) { addControlPlanes(c, 2) }, "controlPlane.endpoint: 3 control planes need a shared endpoint; for a new cluster, add the name or address of a load balancer, or a virtual IP address; a cluster that exists without an endpoint cannot get one"},
		"an endpoint that is a URL":        {func(c *Cluster) { c.ControlPlane.Endpoint = "https://api.example:6443" }, `controlPlane.endpoint: "https://api.example:6443" is a URL`},
		"an endpoint without host":         {func(c *Cluster) { c.ControlPlane.Endpoint = ":6443" }, `controlPlane.endpoint: ":6443" is not a host`},
		"an endpoint with a port of text":  {func(c *Cluster) { c.ControlPlane.Endpoint = "api.example:https" }, `controlPlane.endpoint: "api.example:https" is not`},
		"an endpoint on loopback":          {func(c *Cluster) { c.ControlPlane.Endpoint = "127.0.0.1:6443" }, "controlPlane.endpoint: 127.0.0.1 is not reachable from other hosts"},
		"an endpoint in the pod range":     {func(c *Cluster) { c.ControlPlane.Endpoint = "10.244.0.1:6443" }, "controlPlane.endpoint: 10.244.0.1 is in network.podSubnet 10.244.0.0/16"},
		"an endpoint in IPv6":              {func(c *Cluster) { c.ControlPlane.Endpoint = "[2001:db8::1]:6443" }, "controlPlane.endpoint: IPv6 is not supported"},
		"a SAN with a port":                {func(c *Cluster) { c.ControlPlane.CertSANs = []string{"api.example:6443"} }, `controlPlane.certSANs[0]: "api.example:6443" is neither`},
		"the same name twice":              {func(c *Cluster) { c.Hosts[1].Name = "a" }, "hosts[1].name: duplicate name a; first defined in hosts[0].name"},
		"the same address twice":           {func(c *Cluster) { c.Hosts[1].Address = "192.0.2.11" }, "hosts[1].address: duplicate address 192.0.2.11:22; first defined in hosts[0].address"},
		"the same nodeIP twice":            {func(c *Cluster) { c.Hosts[0].NodeIP, c.Hosts[1].NodeIP = "192.0.2.1", "192.0.2.1" }, "hosts[1].nodeIP: duplicate node IP 192.0.2.1; first defined in hosts[0].nodeIP"},
		"a host without name":              {func(c *Cluster) { c.Hosts[0].Name = "" }, "hosts[0].name: required field is missing"},
		"a host without address":           {func(c *Cluster) { c.Hosts[0].Address = "" }, "hosts[0].address: required field is missing"},
		"an address with a port":           {func(c *Cluster) { c.Hosts[0].Address = "192.0.2.1:2222" }, `hosts[0].address: "192.0.2.1:2222" is not an address; write address: 192.0.2.1 and ssh: {port: 2222}`},
		"an address with a slip":           {func(c *Cluster) { c.Hosts[0].Address = "192.0.2.1111" }, `hosts[0].address: "192.0.2.1111" is neither`},
		"the unspecified address":          {func(c *Cluster) { c.Hosts[0].Address = "0.0.0.0" }, "hosts[0].address: 0.0.0.0 is not the address of a host"},
		"an IPv6 address without nodeIP":   {func(c *Cluster) { c.Hosts[0].Address = "2001:db8::1" }, "hosts[0].address: IPv6 is not supported in the cluster; add nodeIP with an IPv4 address of the host"},
		"a nodeIP with bits":               {func(c *Cluster) { c.Hosts[0].NodeIP = "192.0.2.1/24" }, `hosts[0].nodeIP: "192.0.2.1/24" is not an IP address`},
		"a nodeIP on loopback":             {func(c *Cluster) { c.Hosts[0].NodeIP = "127.0.1.1" }, "hosts[0].nodeIP: 127.0.1.1 is not reachable from other hosts"},
		"a nodeIP in IPv6":                 {func(c *Cluster) { c.Hosts[0].NodeIP = "2001:db8::1" }, "hosts[0].nodeIP: IPv6 is not supported"},
		"a host in the pod range":          {func(c *Cluster) { c.Hosts[0].Address = "10.244.3.1" }, "hosts[0].address: 10.244.3.1 is in network.podSubnet 10.244.0.0/16"},
		"a nodeIP in the Service range":    {func(c *Cluster) { c.Hosts[0].NodeIP = "10.100.0.1" }, "hosts[0].nodeIP: 10.100.0.1 is in network.serviceSubnet 10.96.0.0/12"},
		"ranges that overlap":              {func(c *Cluster) { c.Network.PodSubnet = "10.97.0.0/16" }, "network.serviceSubnet: 10.96.0.0/12 overlaps network.podSubnet 10.97.0.0/16"},
		"a range without prefix length":    {func(c *Cluster) { c.Network.PodSubnet = "10.244.0.0" }, `network.podSubnet: "10.244.0.0" is not a CIDR`},
		"a range with host bits":           {func(c *Cluster) { c.Network.PodSubnet = "10.244.7.0/16" }, "network.podSubnet: 10.244.7.0/16 is not the first address of the range; write 10.244.0.0/16"},
		"a range in IPv6":                  {func(c *Cluster) { c.Network.PodSubnet = "fd00::/56" }, "network.podSubnet: IPv6 is not supported"},
		"two ranges":                       {func(c *Cluster) { c.Network.PodSubnet = "10.244.0.0/16,fd00::/56" }, "network.podSubnet: dual stack is not supported"},
		"a range of loopback":              {func(c *Cluster) { c.Network.PodSubnet = "127.0.0.0/16" }, "network.podSubnet: 127.0.0.0/16 is not usable for pods or Services"},
		"too few pod subnets":              {func(c *Cluster) { c.Network.PodSubnet = "10.1.0.0/24" }, "network.podSubnet: 10.1.0.0/24 is too small: each host needs a /24, 2 in all; use /23 or larger"},
		"too many pods":                    {func(c *Cluster) { c.Network.PodSubnet = "20.0.0.0/7" }, "network.podSubnet: 20.0.0.0/7 is too large"},
		"too many services":                {func(c *Cluster) { c.Network.ServiceSubnet = "10.0.0.0/11" }, "network.serviceSubnet: 10.0.0.0/11 is too large for the API server; use /12"},
		"too few services":                 {func(c *Cluster) { c.Network.ServiceSubnet = "10.96.0.0/29" }, "network.serviceSubnet: 10.96.0.0/29 is too small"},
		"a domain with a blank":            {func(c *Cluster) { c.Network.DNSDomain = "my cluster" }, `network.dnsDomain: "my cluster" is not a DNS name`},
		"an unknown CNI":                   {func(c *Cluster) { c.Network.CNI = CNI{Name: "weave"} }, `network.cni.name: unknown value "weave"; use flannel, calico or none`},
		"an unknown backend":               {func(c *Cluster) { c.Network.CNI.Backend = "hostgw" }, `network.cni.backend: unknown value "hostgw"; did you mean host-gw?`},
		"a backend without CNI":            {func(c *Cluster) { c.Network.CNI.Name = "none" }, "network.cni.backend: not allowed with network.cni.name none"},
		"an MTU out of range":              {func(c *Cluster) { c.Network.CNI.MTU = 70000 }, "network.cni.mtu: 70000 is out of range; use 576 to 65535"},
		"an unknown cgroup driver":         {func(c *Cluster) { c.Containerd.CgroupDriver = "system" }, `containerd.cgroupDriver: unknown value "system"; did you mean systemd?`},
		"a port out of range":              {func(c *Cluster) { c.Hosts[0].SSH.Port = -1 }, "hosts[0].ssh.port: -1 is out of range"},
		"a user with a host":               {func(c *Cluster) { c.SSH.User = "me@there" }, `ssh.user: "me@there" is not a user name`},
		"a jump host of nothing":           {func(c *Cluster) { c.SSH.Bastion = "a@one.example," }, `ssh.bastion: "" is not a jump host`},
		"an API server on the port of kubelet": {func(c *Cluster) {
			c.ControlPlane.BindPort = 10250
		}, "controlPlane.bindPort: port 10250 belongs to kubelet"},
		"an API server on the port of haproxy's state": {func(c *Cluster) {
			c.ControlPlane = ControlPlane{Endpoint: "192.0.2.100", BindPort: 10241, LoadBalancer: LoadBalancer{Type: LoadBalancerKeepalived, VirtualRouterID: 51}}
		}, "controlPlane.bindPort: port 10241 belongs to haproxy"},
		"a keepalived endpoint on the port of haproxy's state": {func(c *Cluster) {
			c.ControlPlane = ControlPlane{Endpoint: "192.0.2.100:10241", BindPort: 6444, LoadBalancer: LoadBalancer{Type: LoadBalancerKeepalived, VirtualRouterID: 51}}
		}, "controlPlane.endpoint: port 10241 belongs to haproxy"},
		"a local endpoint on the port of etcd": {func(c *Cluster) {
			c.ControlPlane = ControlPlane{Endpoint: "api.example:2379", BindPort: 6444, LoadBalancer: LoadBalancer{Type: LoadBalancerLocal}}
		}, "controlPlane.endpoint: port 2379 belongs to etcd"},
		"a mirror that is an image": {func(c *Cluster) {
			c.Containerd.Mirrors = []Mirror{{Registry: "docker.io/library", Endpoints: []string{"https://m.example"}}}
		}, `containerd.mirrors[0].registry: "docker.io/library" is not the name of a registry`},
		"a mirror without scheme": {func(c *Cluster) {
			c.Containerd.Mirrors = []Mirror{{Registry: "docker.io", Endpoints: []string{"m.example:5000"}}}
		}, `containerd.mirrors[0].endpoints[0]: "m.example:5000" is not a URL`},
		"a registry twice": {func(c *Cluster) {
			c.Containerd.Mirrors = slices.Repeat([]Mirror{{Registry: "ghcr.io", Endpoints: []string{"https://m.example"}}}, 2)
		}, "containerd.mirrors[1].registry: duplicate registry ghcr.io; first defined in containerd.mirrors[0]"},
		"a label with a blank":           {func(c *Cluster) { c.Hosts[0].Labels = map[string]string{"a b": ""} }, `hosts[0].labels["a b"]: "a b" is not a label key`},
		"a label with a bad value":       {func(c *Cluster) { c.Hosts[0].Labels = map[string]string{"example.com/a": "-"} }, `hosts[0].labels["example.com/a"]: "-" is not a label value`},
		"a taint without effect":         {func(c *Cluster) { c.Hosts[0].Taints = []Taint{{Key: "a"}} }, "hosts[0].taints[0].effect: required field is missing"},
		"a taint with an unknown effect": {func(c *Cluster) { c.Hosts[0].Taints = []Taint{{Key: "a", Effect: "Never"}} }, `hosts[0].taints[0].effect: unknown value "Never"; use NoSchedule, PreferNoSchedule or NoExecute`},
		"a taint twice": {func(c *Cluster) {
			c.Hosts[0].Taints = slices.Repeat([]Taint{{Key: "a", Effect: "NoExecute"}}, 2)
		}, "hosts[0].taints[1].key: duplicate taint a:NoExecute"},
		"a taint with a bad key":        {func(c *Cluster) { c.Hosts[0].Taints = []Taint{{Key: "/", Effect: "NoExecute"}} }, `hosts[0].taints[0].key: "/" is not a taint key`},
		"a taint with a bad value":      {func(c *Cluster) { c.Hosts[0].Taints = []Taint{{Key: "a", Value: "b c", Effect: "NoExecute"}} }, `hosts[0].taints[0].value: "b c" is not a taint value`},
		"a version without numbers":     {func(c *Cluster) { c.Kubernetes.Version = "latest" }, `kubernetes.version: invalid version "latest": not of the form v1.2.3; use a version of 1.35, 1.36 or 1.37, such as v1.36.4`},
		"a version without patch level": {func(c *Cluster) { c.Kubernetes.Version = "v1.36" }, `kubernetes.version: invalid version "v1.36": not of the form v1.2.3`},
		"a version too old":             {func(c *Cluster) { c.Kubernetes.Version = "v1.34.9" }, "kubernetes.version: unsupported Kubernetes release 1.34; use a version of 1.35, 1.36 or 1.37, such as v1.36.4"},
		"a version too new":             {func(c *Cluster) { c.Kubernetes.Version = "v1.38.0" }, "kubernetes.version: unsupported Kubernetes release 1.38"},
		"a kubelet field of a newer minor": {func(c *Cluster) {
			c.Kubernetes = Kubernetes{Version: "v1.36.4", KubeletConfiguration: map[string]any{"defaultPodSysctls": map[string]any{}}}
		}, "kubernetes.kubeletConfiguration.defaultPodSysctls: unknown to kubelet 1.36; remove it, or set kubernetes.version to a version of 1.37"},
		"a check without reason":                {func(c *Cluster) { c.Preflight.Ignore = []IgnoredCheck{{Check: "swap-returns"}} }, "preflight.ignore[0].reason: required field is missing"},
		"a check with an empty reason":          {func(c *Cluster) { c.Preflight.Ignore = []IgnoredCheck{{"swap-returns", "  "}} }, "preflight.ignore[0].reason: must not be empty"},
		"a reason without check":                {func(c *Cluster) { c.Preflight.Ignore = []IgnoredCheck{{Reason: "so"}} }, "preflight.ignore[0].check: required field is missing"},
		"an expected component twice":           {func(c *Cluster) { c.Preflight.Expect = slices.Repeat([]Expected{{Name: "longhorn"}}, 2) }, "preflight.expect[1].name: duplicate component longhorn"},
		"an unknown component":                  {func(c *Cluster) { c.Preflight.Expect = []Expected{{Name: "longhron"}} }, `preflight.expect[0].name: unknown value "longhron"`},
		"addresses of a storage":                {func(c *Cluster) { c.Preflight.Expect = []Expected{{"longhorn", []string{"192.0.2.1"}}} }, "preflight.expect[0].addresses: only load-balancer has addresses"},
		"an incomplete range":                   {func(c *Cluster) { c.Preflight.Expect = []Expected{{"load-balancer", []string{"192.0.2.1-"}}} }, `preflight.expect[0].addresses[0]: "192.0.2.1-" is not an IPv4 address, range or CIDR`},
		"an addon twice":                        {addons(`[{name: traefik}, {name: traefik}]`), "addons[1].name: duplicate addon traefik"},
		"a misspelt addon":                      {addons(`[{name: traefick}]`), `addons[0].name: unknown addon "traefick" without manifests or chart; did you mean traefik?`},
		"a custom addon without source":         {addons(`[{name: shop}]`), `addons[0].name: unknown addon "shop" without manifests or chart; use local-path, longhorn, traefik, ingress-nginx, gateway-api, metallb, metrics-server or headlamp, or add manifests or a chart for a custom addon`},
		"a pod network as addon":                {addons(`[{name: calico}]`), "addons[0].name: calico is a pod network; write network: {cni: {name: calico}}"},
		"a default for an addon without class":  {addons(`[{name: headlamp, default: true}]`), "addons[0].default: only for local-path, longhorn, traefik or ingress-nginx"},
		"two default classes":                   {addons(`[{name: longhorn, default: true}, {name: local-path, default: true}]`), "addons[1].default: longhorn is already the default"},
		"replicas of local-path":                {addons(`[{name: local-path, replicas: 1}]`), "addons[0].replicas: only for longhorn"},
		"more replicas than workers":            {addons(`[{name: longhorn, replicas: 2}]`), "addons[0].replicas: 2 replicas need as many workers, but there are 1"},
		"a relative directory on nodes":         {addons(`[{name: local-path, path: var/volumes}]`), `addons[0].path: "var/volumes" is not the absolute path of a directory`},
		"manifests of a known addon":            {addons(`[{name: traefik, manifests: [{path: x.yaml}]}]`), "addons[0].manifests: only for a custom addon: slipway provides traefik"},
		"a load balancer without addresses":     {addons(`[{name: metallb}]`), "addons[0].addresses: required field is missing"},
		"a pool over a host":                    {addons(`[{name: metallb, addresses: [192.0.2.12/31]}]`), "addons[0].addresses[0]: 192.0.2.12-192.0.2.13 contains address 192.0.2.12 of host b"},
		"a pool over the pods":                  {addons(`[{name: metallb, addresses: [10.244.1.1]}]`), "addons[0].addresses[0]: 10.244.1.1 overlaps network.podSubnet 10.244.0.0/16"},
		"a pool that is a word":                 {addons(`[{name: metallb, addresses: [all]}]`), `addons[0].addresses[0]: "all" is not an IPv4 address, range or CIDR`},
		"a manifest of two sources":             {addons(`[{name: shop, manifests: [{path: a, url: "https://x.example/a", sha256: ` + sum + `}]}]`), "addons[0].manifests[0]: exactly one source is required; set path or url"},
		"a URL without a sum":                   {addons(`[{name: shop, manifests: [{url: "https://x.example/a"}]}]`), `addons[0].manifests[0].sha256: required field is missing`},
		"a sum without a URL":                   {addons(`[{name: shop, manifests: [{path: a, sha256: ` + sum + `}]}]`), "addons[0].manifests[0].sha256: only for a source with url"},
		"a chart in a registry without version": {addons(`[{name: shop, chart: {oci: "oci://x.example/a"}}]`), "addons[0].chart.version: required field is missing; pin a version, so that each apply installs the same chart"},
		"an empty patch":                        {addons(`[{name: traefik, patches: [{kind: DaemonSet, name: traefik}]}]`), "addons[0].patches[0].patch: required field is missing"},
		"a backend of the other CNI":            {func(c *Cluster) { c.Network.CNI = CNI{Name: CNICalico, Backend: BackendHostGW} }, "network.cni.backend: calico has no backend host-gw; use vxlan, ipip or bgp"},
		"a rewrite to a word":                   {func(c *Cluster) { c.Artifacts.Rewrites = map[string]string{"https://x.example/": "here"} }, `artifacts.rewrites["https://x.example/"]: "here" is not a URL prefix`},
		"a rewrite with credentials":            {rewrite("https://x.example/", "https://me:pw@y.example/"), `artifacts.rewrites["https://x.example/"]: the URL of y.example has credentials; remove them`},
		"a registry with a path":                {registries("x.example/a", "y.example"), `artifacts.registries["x.example/a"]: "x.example/a" is not the name of a registry`},
		"a mirror of a registry as a URL":       {registries("x.example", "https://y.example"), `artifacts.registries["x.example"]: "https://y.example" is not a registry with or without a path; write the name`},
		"a mirror of a registry with a login":   {registries("x.example", "me:pw@y.example/z"), `artifacts.registries["x.example"]: the mirror of x.example has credentials; remove them: slipway takes the credentials of registries from Docker's configuration (docker login)`},
		"a mirror's endpoint with a login": {func(c *Cluster) {
			c.Containerd.Mirrors = []Mirror{{Registry: "a", Endpoints: []string{"https://me:pw@m.example"}}}
		}, "containerd.mirrors[0].endpoints[0]: the URL of m.example has credentials; remove them; with copyCredentials: true"},
		"a manifest with a login":      {addons(`[{name: shop, manifests: [{url: "https://me:pw@x.example/a", sha256: ` + sum + `}]}]`), "addons[0].manifests[0].url: the URL of x.example has credentials; remove them"},
		"backups at no time":           {func(c *Cluster) { c.Backup.Schedule = "daily;reboot" }, `backup.schedule: "daily;reboot" is not a calendar event`},
		"backups in a relative path":   {func(c *Cluster) { c.Backup.Directory = "backups" }, `backup.directory: "backups" cannot be used`},
		"backups that a reset deletes": {func(c *Cluster) { c.Backup.Directory = "/var/lib/etcd/backups" }, "backup.directory: backups do not stay in /var/lib/etcd/backups"},
		"no backup that stays":         {func(c *Cluster) { c.Backup.Retention = -1 }, "backup.retention: -1 is out of range"},
		"a recipient that is a key":    {func(c *Cluster) { c.Backup.Recipients = []string{"AGE-SECRET-KEY-1"} }, "backup.recipients[0]: it is not a public key of age; use"},
		"a proxy with credentials":     {proxy("http://me:pw@p.example:3128"), "proxy.httpProxy: the URL of p.example:3128 has credentials; remove them, and set SLIPWAY_PROXY_USERNAME and SLIPWAY_PROXY_PASSWORD in the environment of slipway"},
		"a proxy without a scheme":     {proxy("p.example:3128"), `proxy.httpProxy: "p.example:3128" is not a URL`},
		"a SOCKS proxy":                {proxy("socks5://p.example:3128"), `proxy.httpProxy: "socks5://p.example:3128" is not a URL`},
		"a proxy with a path":          {proxy("http://p.example:3128/pac"), `proxy.httpProxy: "http://p.example:3128/pac" has more than a host and a port`},
		"a proxy with a dollar":        {proxy("http://p$HOME:3128"), `proxy.httpProxy: "http://p$HOME:3128" has more than a host and a port`},
		"exceptions without a proxy":   {func(c *Cluster) { c.Proxy.NoProxy = []string{".example"} }, "proxy.noProxy: there is no proxy; add httpProxy, or remove it"},
		"two exceptions in one entry":  {proxy("http://p.example:3128", ".a.example,.b.example"), `proxy.noProxy[0]: ".a.example,.b.example" is not an entry of NO_PROXY`},
		"a check twice":                {func(c *Cluster) { c.Preflight.Ignore = slices.Repeat([]IgnoredCheck{{"mtu", "so"}}, 2) }, "preflight.ignore[1].check: duplicate check mtu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := valid()
			test.edit(c)
			err := c.Validate()
			var invalid *Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("want an *Invalid, got %v", err)
			}
			if len(invalid.Problems) != 1 || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("want one problem that begins with\n%s\ngot\n%v", test.want, err)
			}
		})
	}
}

func rewrite(from, to string) func(*Cluster) {
	return func(c *Cluster) { c.Artifacts.Rewrites = map[string]string{from: to} }
}

func registries(registry, mirror string) func(*Cluster) {
	return func(c *Cluster) { c.Artifacts.Registries = map[string]string{registry: mirror} }
}

func proxy(address string, exceptions ...string) func(*Cluster) {
	return func(c *Cluster) { c.Proxy = Proxy{HTTPProxy: address, HTTPSProxy: address, NoProxy: exceptions} }
}

func TestSourcesOfACompanyAreLoaded(t *testing.T) {
	t.Parallel()
	c, err := Parse("/etc/lab/inventory.yaml", []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: w-1.example, nodeIP: 198.51.100.12}
controlPlane: {endpoint: api.example}
containerd:
  mirrors:
    - {registry: docker.io, endpoints: ["https://m.example"], copyCredentials: true}
    - {registry: quay.io, endpoints: ["https://m.example"], caFile: other.pem}
artifacts:
  caFile: ca.pem
  registries: {registry.k8s.io: "m.example:5000/k8s", docker.io: "http://m.example", localhost:5000: m.example}
proxy: {httpProxy: "http://p.example:3128", noProxy: [.example, 192.0.2.11]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Proxy.HTTPSProxy != "http://p.example:3128" || c.Artifacts.CAFile != "/etc/lab/ca.pem" {
		t.Errorf("got %+v, %+v", c.Proxy, c.Artifacts)
	}
	if m := c.Containerd.Mirrors; m[0].CAFile != "/etc/lab/ca.pem" || m[1].CAFile != "/etc/lab/other.pem" {
		t.Errorf("mirrors have the CA files %q and %q", m[0].CAFile, m[1].CAFile)
	}
	want := "localhost 127.0.0.0/8 192.0.2.11 w-1.example 198.51.100.12 api.example 10.244.0.0/16 10.96.0.0/12 .svc .cluster.local .example"
	if got := strings.Join(c.NoProxy(), " "); got != want {
		t.Errorf("NO_PROXY is\n%s, want\n%s", got, want)
	}
}

// An invalid value in a message must not show its password.
func TestPasswordsAreNotInMessages(t *testing.T) {
	t.Parallel()
	for _, edit := range []func(*Cluster){
		rewrite("https://me:hunter2@x.example/", "https://y.example/"), rewrite("me:hunter2@x", "https://y.example/"),
		registries("me:hunter2@x.example", "y.example"), registries("x.example", "http://me:hunter2@y.example"),
		proxy("me:hunter2@p.example:3128"), proxy("http://me:hunter2@p.example:3128"), proxy("ftp://me:hunter2@p"),
		func(c *Cluster) {
			c.Containerd.Mirrors = []Mirror{{Registry: "a", Endpoints: []string{"me:hunter2@m.example"}}}
		},
	} {
		c := valid()
		edit(c)
		if err := c.Validate(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

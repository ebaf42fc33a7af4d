package config

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	kubeproxy "k8s.io/kube-proxy/config/v1alpha1"
)

// override is a section of the inventory that is merged into a rendered document.
type override struct {
	field  string
	values map[string]any
	// shape is the type into which kubeadm, kubelet or kube-proxy decodes the
	// document.
	shape reflect.Type
	// owned maps the fields that slipway sets to the remedy.
	owned map[string]string
}

func (k Kubernetes) overrides() []override {
	return []override{
		{"clusterConfiguration", k.ClusterConfiguration, reflect.TypeFor[kubeadmCluster](), ownedByCluster()},
		{"initConfiguration", k.InitConfiguration, reflect.TypeFor[kubeadmInit](), ownedByNode(initOnly())},
		{"joinConfiguration", k.JoinConfiguration, reflect.TypeFor[kubeadmJoin](), ownedByNode(joinOnly())},
		{"kubeletConfiguration", k.KubeletConfiguration, reflect.TypeFor[kubeletConfiguration](), ownedByKubelet()},
		{"kubeProxyConfiguration", k.KubeProxyConfiguration, reflect.TypeFor[kubeproxy.KubeProxyConfiguration](), ownedByKubeProxy()},
	}
}

func (v *validator) overrides() {
	for _, o := range v.c.Kubernetes.overrides() {
		v.shape(o)
		for _, path := range slices.Sorted(maps.Keys(o.owned)) {
			if at, set := deepest(o.values, path); set {
				v.report("kubernetes."+o.field+"."+at, o.owned[path], "set by slipway")
			}
		}
		for _, head := range []string{"apiVersion", "kind"} {
			if _, set := o.values[head]; set {
				v.report("kubernetes."+o.field+"."+head, "remove it", "set by slipway")
			}
		}
	}
}

// shape reports unknown fields and wrong types. The decoded value is not used: a
// merge patch may have nulls.
func (v *validator) shape(o override) {
	if len(o.values) == 0 {
		return
	}
	field := "kubernetes." + o.field
	data, err := json.Marshal(o.values)
	var doc yaml.Node
	if err == nil {
		err = yaml.Unmarshal(data, &doc) // JSON is YAML
	}
	if err != nil {
		v.report(field, "", "cannot read it: %s", err)
		return
	}
	d := newDecoder(o.shape)
	d.value(field, doc.Content[0], reflect.New(o.shape).Elem())
	for _, p := range d.problems {
		v.report(p.Field, p.Remedy, "%s", p.Message)
	}
}

// deepest returns whether a dotted path is set, and the path, or the null above it
// that removes it.
func deepest(values map[string]any, path string) (at string, set bool) {
	name, rest, more := strings.Cut(path, ".")
	value, ok := values[name]
	switch inner, isMap := value.(map[string]any); {
	case !ok:
		return "", false
	case !more || value == nil:
		return name, true
	case isMap:
		at, set = deepest(inner, rest)
		return name + "." + at, set
	}
	return "", false
}

const byMirrors = "use containerd.mirrors or artifacts.bundle: images keep their upstream names"

func ownedByCluster() map[string]string {
	return map[string]string{
		"networking.podSubnet":       "use network.podSubnet",
		"networking.serviceSubnet":   "use network.serviceSubnet",
		"networking.dnsDomain":       "use network.dnsDomain",
		"kubernetesVersion":          "use kubernetes.version",
		"controlPlaneEndpoint":       "use controlPlane.endpoint",
		"clusterName":                "use metadata.name",
		"apiServer.certSANs":         "use controlPlane.certSANs",
		"imageRepository":            byMirrors,
		"dns.imageRepository":        byMirrors,
		"etcd.local.imageRepository": byMirrors,
		"etcd.external":              "use etcd.external, or hosts with the role etcd",
		"certificatesDir":            "remove it: it is /etc/kubernetes/pki",
	}
}

// ownedByNode adds the fields that init and join share to those of one.
func ownedByNode(owned map[string]string) map[string]string {
	owned["dryRun"] = "remove it, and run `slipway plan`"
	owned["nodeRegistration.name"] = "use hosts[].name"
	owned["nodeRegistration.criSocket"] = "remove it: the runtime is slipway's containerd"
	owned["nodeRegistration.taints"] = "use hosts[].taints"
	// A merge patch would replace the list, which has slipway's node-ip.
	owned["nodeRegistration.kubeletExtraArgs"] = "use kubernetes.kubeletConfiguration, hosts[].nodeIP or hosts[].labels"
	return owned
}

func initOnly() map[string]string {
	return map[string]string{
		"localAPIEndpoint": "use hosts[].nodeIP",
		"bootstrapTokens":  "remove it: slipway creates a short-lived token for each join",
		"certificateKey":   "remove it: slipway creates a key for each join",
	}
}

func joinOnly() map[string]string {
	return map[string]string{
		"controlPlane": "use hosts[].roles and hosts[].nodeIP",
		"discovery":    "remove it: slipway creates a short-lived token for each join",
		"caCertPath":   "remove it: it is /etc/kubernetes/pki/ca.crt",
	}
}

func ownedByKubelet() map[string]string {
	return map[string]string{
		"cgroupDriver":             "use containerd.cgroupDriver, which also sets kubelet's",
		"clusterDNS":               "use network.serviceSubnet, whose 10th address it is",
		"clusterDomain":            "use network.dnsDomain",
		"containerRuntimeEndpoint": "remove it: the runtime is slipway's containerd",
		"imageServiceEndpoint":     "remove it: the runtime is slipway's containerd",
		"staticPodPath":            "remove it: it is /etc/kubernetes/manifests",
		"registerWithTaints":       "use hosts[].taints",
	}
}

func ownedByKubeProxy() map[string]string {
	return map[string]string{
		"clusterCIDR":                 "use network.podSubnet",
		"clientConnection.kubeconfig": "remove it: kubeadm mounts it",
	}
}

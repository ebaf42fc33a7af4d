// Package kubeadm renders the configuration documents that kubeadm reads
// (v1beta4, with those of kubelet and kube-proxy) from the inventory and a node's
// facts, and merges the inventory's overrides into them.
package kubeadm

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/templates"
)

const (
	// Dir is where slipway writes the documents on a host.
	Dir = "/etc/kubernetes/slipway"
	// CRISocket is containerd's. It is always given, since a host may have others.
	CRISocket = "unix:///run/containerd/containerd.sock"
)

// Directories returns the directories in which kubeadm, and what it starts, keeps the
// state of a node. kubeadm does not sync what it writes.
func Directories() []string {
	return []string{"/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd"}
}

// Node is the host that the documents are for.
type Node struct {
	Spec config.Host
	IP   netip.Addr
	// Version of Kubernetes that the cluster has or gets: "v1.36.4".
	Version string
	// Etcd are the client URLs of an etcd that does not run on the control planes.
	Etcd []string
}

// document is a template with layers that are merged into it in order: a null in
// the inventory removes a field of the template.
type document struct {
	template string
	layers   []map[string]any
	// complete adds to the merged document. It may be nil.
	complete func(map[string]any) error
}

func layered(template string, layers ...map[string]any) document {
	return document{template: template, layers: layers}
}

// clusterDocument is the ClusterConfiguration. What the inventory says of the API server
// elsewhere comes last: a list of an override replaces that of the template.
func clusterDocument(c *config.Cluster) document {
	doc := layered("kubeadm/cluster.yaml.tmpl", c.Kubernetes.ClusterConfiguration)
	doc.complete = func(merged map[string]any) error { return addAPIServerFiles(c, merged) }
	return doc
}

// Init returns what `kubeadm init --config` reads: InitConfiguration,
// ClusterConfiguration, KubeletConfiguration and KubeProxyConfiguration.
func Init(c *config.Cluster, node Node) ([]byte, error) {
	return render(values(c, node),
		layered("kubeadm/init.yaml.tmpl", taintsOf(c, node), c.Kubernetes.InitConfiguration),
		clusterDocument(c),
		layered("kubeadm/kubelet.yaml.tmpl", c.Kubernetes.KubeletConfiguration),
		layered("kubeadm/kube-proxy.yaml.tmpl", c.Kubernetes.KubeProxyConfiguration),
	)
}

// Settings returns the documents that are the same on all hosts, by the section of
// the inventory that overrides them: clusterConfiguration, kubeletConfiguration and
// kubeProxyConfiguration; and initConfiguration, with the overrides alone.
func Settings(c *config.Cluster, version string) (map[string]map[string]any, error) {
	data := values(c, Node{Version: version})
	settings := map[string]map[string]any{}
	for section, doc := range map[string]document{
		"clusterConfiguration":   clusterDocument(c),
		"kubeletConfiguration":   layered("kubeadm/kubelet.yaml.tmpl", c.Kubernetes.KubeletConfiguration),
		"kubeProxyConfiguration": layered("kubeadm/kube-proxy.yaml.tmpl", c.Kubernetes.KubeProxyConfiguration),
	} {
		text, err := render(data, doc)
		if err != nil {
			return nil, err
		}
		var decoded map[string]any
		if err := yaml.Unmarshal(text, &decoded); err != nil {
			return nil, fmt.Errorf("%s: %w", doc.template, err)
		}
		settings[section] = decoded
	}
	overrides, err := merge(nil, []map[string]any{c.Kubernetes.InitConfiguration}, nil)
	if err != nil {
		return nil, err
	}
	var decoded map[string]any
	if err := yaml.Unmarshal(overrides, &decoded); err != nil {
		return nil, fmt.Errorf("initConfiguration: %w", err)
	}
	settings["initConfiguration"] = decoded
	return settings, nil
}

// Join returns what `kubeadm join --config` reads. The token is a secret.
func Join(c *config.Cluster, node Node, discovery, token string) ([]byte, error) {
	data := values(c, node)
	data.Discovery, data.Token = discovery, token
	return render(data, layered("kubeadm/join.yaml.tmpl", taintsOf(c, node), c.Kubernetes.JoinConfiguration))
}

// Discovery returns the file with which a joining host verifies the cluster. Its
// CA (PEM) was received over SSH, so that nothing is trusted on first use.
func Discovery(endpoint string, ca []byte) ([]byte, error) {
	return templates.Render("kubeadm/discovery.conf.tmpl", struct{ Endpoint, CA string }{
		endpoint, base64.StdEncoding.EncodeToString(ca),
	})
}

// Reset returns what `kubeadm reset --config` reads.
func Reset(c *config.Cluster) ([]byte, error) {
	return templates.Render("kubeadm/reset.yaml.tmpl", struct {
		CRISocket    string
		ExternalEtcd bool
	}{CRISocket, c.ExternalEtcd()})
}

// data is the input of the templates.
type data struct {
	ClusterName, Version, Endpoint      string
	BindPort                            int
	PodSubnet, ServiceSubnet, DNSDomain string
	NodeName, NodeIP, CRISocket         string
	CgroupDriver, Discovery, Token      string
	CertSANs                            []string
	EtcdEndpoints                       []string
	EtcdCA, EtcdCert, EtcdKey           string
	ServerTLSBootstrap, ControlPlane    bool
}

func values(c *config.Cluster, node Node) data {
	d := data{
		ClusterName: c.Metadata.Name, Version: node.Version, BindPort: c.ControlPlane.BindPort,
		PodSubnet: c.Network.PodSubnet, ServiceSubnet: c.Network.ServiceSubnet, DNSDomain: c.Network.DNSDomain,
		NodeName: node.Spec.Name, NodeIP: node.IP.String(), CRISocket: CRISocket,
		CgroupDriver: c.Containerd.CgroupDriver, ServerTLSBootstrap: c.ServerTLSBootstrap(),
		ControlPlane:  node.Spec.Has(config.RoleControlPlane),
		EtcdEndpoints: node.Etcd, EtcdCA: EtcdCA + ".crt", EtcdCert: etcdClient + ".crt", EtcdKey: etcdClient + ".key",
	}
	if c.ControlPlane.Endpoint != "" {
		// Without a port, kubeadm takes bindPort.
		d.Endpoint = config.WithPort(c.ControlPlane.Endpoint)
	}
	// Kubeconfigs reach the API server by its names or by the addresses that SSH
	// uses.
	for _, h := range c.ControlPlanes() {
		d.CertSANs = append(d.CertSANs, h.Name, h.Address)
	}
	d.CertSANs = append(d.CertSANs, c.ControlPlane.CertSANs...)
	slices.Sort(d.CertSANs)
	d.CertSANs = slices.Compact(d.CertSANs)
	return d
}

// taintsOf returns the taints with which the node registers, as an override.
func taintsOf(c *config.Cluster, node Node) map[string]any {
	taints := c.DefaultTaints(node.Spec)
	list := make([]any, 0, len(taints))
	for _, t := range taints {
		list = append(list, map[string]any{"key": t.Key, "value": t.Value, "effect": t.Effect})
	}
	return map[string]any{"nodeRegistration": map[string]any{"taints": list}}
}

// render renders the documents into one YAML stream.
func render(d data, documents ...document) ([]byte, error) {
	var out bytes.Buffer
	for i, doc := range documents {
		if i > 0 {
			out.WriteString("---\n")
		}
		text, err := templates.Render(doc.template, d)
		if err != nil {
			return nil, err
		}
		if text, err = merge(text, doc.layers, doc.complete); err != nil {
			return nil, fmt.Errorf("%s: %w", doc.template, err)
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// merge merges by RFC 7396 (JSON merge patch). Documents without an override are
// merged too, so that they are formatted the same.
func merge(text []byte, layers []map[string]any, complete func(map[string]any) error) ([]byte, error) {
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	for _, layer := range layers {
		document = config.Merge(document, layer)
	}
	if complete != nil {
		if err := complete(document); err != nil {
			return nil, err
		}
	}
	return yaml.Marshal(document)
}

// Package kubeadm renders the configuration documents that kubeadm reads
// (v1beta4, with those of kubelet and kube-proxy), from the inventory and from
// a node's facts, the inventory's overrides merged over them.
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
	// Dir is where slipway puts the documents on a machine.
	Dir = "/etc/kubernetes/slipway"
	// CRISocket is containerd's, passed always: a machine may have others.
	CRISocket = "unix:///run/containerd/containerd.sock"
	// BindPort is where each API server listens (kubeadm's default).
	BindPort = 6443
)

// Node is what the documents say of one machine.
type Node struct {
	Spec config.Host
	IP   netip.Addr
}

// document is a template with what is merged over it, one after the other: a
// null of the inventory's removes a field of the template's.
type document struct {
	template string
	layers   []map[string]any
}

func layered(template string, layers ...map[string]any) document { return document{template, layers} }

// Init is what `kubeadm init --config` reads: InitConfiguration,
// ClusterConfiguration, KubeletConfiguration and KubeProxyConfiguration.
func Init(c *config.Cluster, node Node) ([]byte, error) {
	return render(values(c, node),
		layered("kubeadm/init.yaml.tmpl", taintsOf(c, node), c.Kubernetes.InitConfiguration),
		layered("kubeadm/cluster.yaml.tmpl", c.Kubernetes.ClusterConfiguration),
		layered("kubeadm/kubelet.yaml.tmpl", c.Kubernetes.KubeletConfiguration),
		layered("kubeadm/kube-proxy.yaml.tmpl", c.Kubernetes.KubeProxyConfiguration),
	)
}

// Join is what `kubeadm join --config` reads. The token is a secret.
func Join(c *config.Cluster, node Node, discovery, token string) ([]byte, error) {
	data := values(c, node)
	data.Discovery, data.Token = discovery, token
	return render(data, layered("kubeadm/join.yaml.tmpl", taintsOf(c, node), c.Kubernetes.JoinConfiguration))
}

// Discovery is the file by which a machine that joins knows the cluster. Its
// CA (PEM) came through SSH, so that nothing has to be trusted on first use.
func Discovery(endpoint string, ca []byte) ([]byte, error) {
	return templates.Render("kubeadm/discovery.conf.tmpl", struct{ Endpoint, CA string }{
		endpoint, base64.StdEncoding.EncodeToString(ca),
	})
}

// Reset is what `kubeadm reset --config` reads.
func Reset() ([]byte, error) {
	return templates.Render("kubeadm/reset.yaml.tmpl", struct{ CRISocket string }{CRISocket})
}

// data is what the templates are filled from.
type data struct {
	ClusterName, Version, Endpoint      string
	PodSubnet, ServiceSubnet, DNSDomain string
	NodeName, NodeIP, CRISocket         string
	CgroupDriver, Discovery, Token      string
	CertSANs                            []string
	ServerTLSBootstrap                  bool
}

func values(c *config.Cluster, node Node) data {
	d := data{
		ClusterName: c.Metadata.Name, Version: c.Kubernetes.Version, Endpoint: c.ControlPlane.Endpoint,
		PodSubnet: c.Network.PodSubnet, ServiceSubnet: c.Network.ServiceSubnet, DNSDomain: c.Network.DNSDomain,
		NodeName: node.Spec.Name, NodeIP: node.IP.String(), CRISocket: CRISocket,
		CgroupDriver: c.Containerd.CgroupDriver, ServerTLSBootstrap: c.ServerTLSBootstrap(),
	}
	// The API server is asked by its names and by the addresses that SSH uses,
	// whichever way the reader's kubeconfig goes.
	for _, h := range c.ControlPlanes() {
		d.CertSANs = append(d.CertSANs, h.Name, h.Address)
	}
	d.CertSANs = append(d.CertSANs, c.ControlPlane.CertSANs...)
	slices.Sort(d.CertSANs)
	d.CertSANs = slices.Compact(d.CertSANs)
	return d
}

// taintsOf are the taints with which the node registers, as an override.
func taintsOf(c *config.Cluster, node Node) map[string]any {
	taints := c.DefaultTaints(node.Spec)
	list := make([]any, 0, len(taints))
	for _, t := range taints {
		list = append(list, map[string]any{"key": t.Key, "value": t.Value, "effect": t.Effect})
	}
	return map[string]any{"nodeRegistration": map[string]any{"taints": list}}
}

// render makes one YAML stream of the documents.
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
		if text, err = merge(text, doc.layers); err != nil {
			return nil, fmt.Errorf("%s: %w", doc.template, err)
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// merge merges as RFC 7396 (JSON merge patch) says. All documents go through
// it, so that one with an override differs from one without in that only.
func merge(text []byte, layers []map[string]any) ([]byte, error) {
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	for _, layer := range layers {
		document = config.Merge(document, layer)
	}
	return yaml.Marshal(document)
}

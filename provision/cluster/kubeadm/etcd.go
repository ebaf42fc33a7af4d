package kubeadm

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/templates"
)

// Member is a host that runs etcd, and is not a node.
type Member struct {
	Name string
	IP   netip.Addr
}

// InitialCluster is what a member of etcd must know of all of them when it starts for the
// first time.
func InitialCluster(members []Member) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Name+"="+kube.Peer(m.IP))
	}
	return strings.Join(all, ",")
}

// Etcd returns what the phases of `kubeadm init` read on a host that runs etcd, and is not
// a node: InitConfiguration and ClusterConfiguration.
func Etcd(own Member, all []Member, version string) ([]byte, error) {
	return templates.Render("etcd/kubeadm.yaml.tmpl", struct{ Name, IP, CRISocket, Version, InitialCluster string }{
		own.Name, own.IP.String(), CRISocket, version, InitialCluster(all),
	})
}

// EtcdKubelet returns the KubeletConfiguration of a host that runs etcd, and is not a
// node: with the settings of the inventory, but without an API server.
func EtcdKubelet(c *config.Cluster) ([]byte, error) {
	return render(values(c, Node{}), layered("kubeadm/kubelet.yaml.tmpl", c.Kubernetes.KubeletConfiguration, map[string]any{
		"address": "127.0.0.1",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": false}, "x509": nil,
		},
		"authorization":      map[string]any{"mode": "AlwaysAllow"},
		"staticPodPath":      etcKubernetes + "/manifests",
		"serverTLSBootstrap": nil, "rotateCertificates": nil,
	}))
}

// LocalEtcdFiles reads the files of an etcd that exists on localhost, where the inventory
// has them, for the control planes.
func LocalEtcdFiles(c *config.Cluster) ([]host.File, error) {
	files, external := EtcdClientFiles(), c.Etcd.External
	for i, path := range []string{external.CAFile, external.CertFile, external.KeyFile} {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files[i].Content = content
	}
	return files, nil
}

// CheckEtcdFiles returns why files that LocalEtcdFiles returned cannot be used. Only etcd
// knows the CA of its clients, which may be another one than that of its members.
func CheckEtcdFiles(files []host.File) error {
	if !x509.NewCertPool().AppendCertsFromPEM(files[0].Content) {
		return errors.New("etcd.external.caFile contains no certificate in PEM")
	}
	pair, err := tls.X509KeyPair(files[1].Content, files[2].Content)
	if err != nil {
		return fmt.Errorf("etcd.external.certFile and keyFile: %w", err)
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		return fmt.Errorf("etcd.external.certFile: the certificate expired on %s", end.UTC().Format(time.DateOnly))
	}
	return nil
}

// RecreateEtcd returns the files of a member of etcd that must be deleted, so that kubeadm
// creates them again: pairs of a certificate and a key that are not whole, that have expired
// or that the CA on the host has not signed. Those that expire soon are renewed in place: see
// Certificate.Due.
func RecreateEtcd(k facts.Kubernetes) []string {
	r := recreation{k: k, damaged: k.Damaged()}
	for _, name := range etcdCertificates() {
		if !r.usable(name) {
			r.discard(name+".crt", name+".key")
		}
	}
	return r.files
}

// EtcdComplete reports whether a host has all files that kubeadm creates for a member, and
// can use them.
func EtcdComplete(k facts.Kubernetes) bool {
	r := recreation{k: k}
	for _, name := range etcdCertificates() {
		if !r.usable(name) {
			return false
		}
	}
	return k.Intact(etcdManifest)
}

// EtcdClientUsable reports whether a control plane has all files with which its API server
// connects to an etcd that does not run there, and can use them.
func EtcdClientUsable(k facts.Kubernetes) bool {
	for _, file := range EtcdClientFiles() {
		if !k.Intact(file.Path) {
			return false
		}
	}
	client := Certificate{Renewer: RenewedBySlipway}
	for _, file := range k.Certificates {
		if file.Path == etcdClient+".crt" {
			client = client.of(file)
		}
	}
	return (client.NotAfter.IsZero() || !client.Due(time.Now())) && k.Serves(etcdClient+".crt", EtcdCA+".crt", time.Now())
}

// EtcdMemberFiles returns what kubeadm has created for a member of etcd, but for the CA.
func EtcdMemberFiles(k facts.Kubernetes) []string {
	r := recreation{k: k}
	r.add(etcdManifest)
	for _, name := range etcdCertificates() {
		r.discard(name+".crt", name+".key")
	}
	return r.files
}

// usable reports whether a pair of a certificate and a key of etcd can be used.
func (r *recreation) usable(name string) bool {
	return r.whole(name+".crt", name+".key") && r.k.Serves(pkiDir+"/"+name+".crt", EtcdCA+".crt", time.Now())
}

// etcdCertificates are the certificates that the CA of etcd signs.
func etcdCertificates() []string {
	for _, a := range authorities {
		if a.name == "etcd/ca" {
			return a.signs
		}
	}
	return nil
}

package kubeadm

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
)

const (
	etcKubernetes = "/etc/kubernetes"
	pkiDir        = etcKubernetes + "/pki"
	kubeletConf   = etcKubernetes + "/kubelet.conf"
	kubeletPKI    = "/var/lib/kubelet/pki"

	// EtcdCA is the certificate and the key of etcd's CA, without their suffixes, and
	// etcdClient those with which API servers authenticate to etcd.
	EtcdCA     = pkiDir + "/etcd/ca"
	etcdClient = pkiDir + "/apiserver-etcd-client"

	etcdManifest = etcKubernetes + "/manifests/etcd.yaml"
)

// authority is a certificate authority of kubeadm, and the certificates that it
// signs: base names below pkiDir (Kubernetes, cmd/kubeadm/app/phases/certs/certlist.go).
type authority struct {
	name  string
	signs []string
}

var authorities = []authority{
	{"ca", []string{"apiserver", "apiserver-kubelet-client"}},
	{"etcd/ca", []string{"etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"}},
	{"front-proxy-ca", []string{"front-proxy-client"}},
}

var kubeconfigs = []string{"admin", "super-admin", "kubelet", "controller-manager", "scheduler"}

// AuthorityError says that the CA of a cluster is incomplete, and that it must not be
// replaced.
type AuthorityError struct {
	// Path is the file that is missing or damaged. Why is why another CA is no remedy.
	Path, Why string
	// Damaged: the file exists.
	Damaged bool
}

func (e *AuthorityError) Error() string {
	if e.Damaged {
		return fmt.Sprintf("%s is empty or truncated, and %s", e.Path, e.Why)
	}
	return fmt.Sprintf("%s does not exist, and %s", e.Path, e.Why)
}

// authoritiesOf returns the authorities whose files kubeadm creates on the control planes
// of a cluster: the certificates of another etcd come from there.
func authoritiesOf(c *config.Cluster) []authority {
	return slices.DeleteFunc(slices.Clone(authorities), func(a authority) bool { return a.name == "etcd/ca" && c.ExternalEtcd() })
}

// Recreate returns the files of an interrupted `kubeadm init` that must be deleted,
// so that the next one creates them again: it accepts existing files, and fails on
// those that it cannot read. The CAs stay as long as they are whole.
//
// changed: init runs with other values, so that everything that the CAs signed is
// deleted. data: the cluster has stored something. The CA of the cluster is created
// before, and may have signed what is stored: without it, the error is an
// *AuthorityError. Without data, the API server has never answered, and the CA has
// signed nothing but files on this host, which are deleted with it.
func Recreate(c *config.Cluster, k facts.Kubernetes, changed, data bool) ([]string, error) {
	r := recreation{k: k, damaged: k.Damaged()}
	replaced := false
	for _, a := range authoritiesOf(c) {
		whole := r.whole(a.name+".crt", a.name+".key")
		if !whole && a.name == "ca" {
			if err := r.replaceable(data); err != nil {
				return nil, err
			}
			replaced = true
		}
		if !whole {
			r.discard(a.name+".crt", a.name+".key")
		}
		for _, name := range a.signs {
			if !whole || changed || !r.whole(name+".crt", name+".key") {
				r.discard(name+".crt", name+".key")
			}
		}
	}
	// kubeadm creates sa.pub only together with sa.key.
	if !r.whole("sa.key", "sa.pub") {
		r.discard("sa.key", "sa.pub")
	}
	for _, name := range kubeconfigs {
		if path := etcKubernetes + "/" + name + ".conf"; replaced || changed || slices.Contains(r.damaged, path) {
			r.add(path)
		}
	}
	r.kubelet(replaced || changed)
	slices.Sort(r.files)
	return slices.Compact(r.files), nil
}

// RecreateNode returns the files of a worker that must be deleted, so that the next
// `kubeadm join` creates them again: those that are damaged.
func RecreateNode(k facts.Kubernetes) []string {
	r := recreation{k: k, damaged: k.Damaged()}
	for _, path := range []string{kubeletConf, etcKubernetes + "/bootstrap-kubelet.conf", pkiDir + "/ca.crt"} {
		if slices.Contains(r.damaged, path) {
			r.add(path)
		}
	}
	r.kubelet(false)
	slices.Sort(r.files)
	return slices.Compact(r.files)
}

// Damaged returns the files of kubeadm and kubelet on a control plane that exist and
// cannot be read: certificates, keys and kubeconfigs. Those of an etcd that runs elsewhere
// are not among them: the phase etcd-client writes them again.
func Damaged(c *config.Cluster, k facts.Kubernetes) []string {
	var names []string
	for _, a := range authoritiesOf(c) {
		for _, name := range append([]string{a.name}, a.signs...) {
			names = append(names, pkiDir+"/"+name+".crt", pkiDir+"/"+name+".key")
		}
	}
	names = append(names, pkiDir+"/sa.key", pkiDir+"/sa.pub")
	for _, name := range kubeconfigs {
		names = append(names, etcKubernetes+"/"+name+".conf")
	}
	return slices.DeleteFunc(k.Damaged(), func(path string) bool {
		return !slices.Contains(names, path) && !strings.HasPrefix(path, kubeletPKI+"/")
	})
}

// recreation collects files to delete.
type recreation struct {
	k       facts.Kubernetes
	damaged []string
	files   []string
}

// whole reports whether all of these files below pkiDir can be read.
func (r *recreation) whole(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !r.k.Intact(pkiDir + "/" + name) })
}

// add adds a file if it exists.
func (r *recreation) add(path string) {
	if slices.ContainsFunc(r.k.Files, func(f facts.KubeFile) bool { return f.Path == path }) {
		r.files = append(r.files, path)
	}
}

func (r *recreation) discard(names ...string) {
	for _, name := range names {
		r.add(pkiDir + "/" + name)
	}
}

// replaceable returns an error if the CA of the cluster, which is not whole, must not
// be replaced.
func (r *recreation) replaceable(data bool) error {
	cert, key := pkiDir+"/ca.crt", pkiDir+"/ca.key"
	failure := func(path, why string) error {
		return &AuthorityError{Path: path, Why: why, Damaged: slices.Contains(r.damaged, path)}
	}
	exists := func(path string) bool {
		return slices.ContainsFunc(r.k.Files, func(f facts.KubeFile) bool { return f.Path == path })
	}
	switch {
	case data && !r.k.Intact(key):
		return failure(key, "etcd has data of the cluster of this CA")
	case data:
		return failure(cert, "etcd has data of the cluster of this CA")
	case r.k.Intact(cert) && !exists(key):
		// kubeadm writes the key first: the certificate comes from somebody else.
		return failure(key, "the certificate of the CA comes from elsewhere")
	}
	return nil
}

// kubelet adds what kubelet keeps beside its kubeconfig: all of it, or what is
// damaged. kubelet creates it again.
func (r *recreation) kubelet(all bool) {
	if serving := []string{kubeletPKI + "/kubelet.crt", kubeletPKI + "/kubelet.key"}; !r.k.Intact(serving[0]) || !r.k.Intact(serving[1]) {
		r.add(serving[0])
		r.add(serving[1])
	}
	for _, file := range r.k.Files {
		client := strings.HasPrefix(file.Path, kubeletPKI+"/kubelet-client")
		damaged := slices.Contains(r.damaged, file.Path)
		if client && (all || damaged) || damaged && strings.HasPrefix(file.Path, kubeletPKI+"/") {
			r.add(file.Path)
		}
		// kubelet.conf of a finished join names this file.
		if damaged && file.Path == kubeletPKI+"/kubelet-client-current.pem" && r.k.Finalized {
			r.add(kubeletConf)
		}
	}
}

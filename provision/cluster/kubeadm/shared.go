package kubeadm

import (
	"io/fs"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
)

// SharedFiles returns the files that all control planes have in common, without their
// content: the CAs and the keys of service accounts (Kubernetes,
// cmd/kubeadm/app/phases/certs, "SharedCertificateExists"). The phase etcd-client writes
// those of an etcd that runs elsewhere: those of another control plane may be older.
func SharedFiles(c *config.Cluster) []host.File {
	paths := []string{pkiDir + "/sa.key", pkiDir + "/sa.pub"}
	for _, name := range []string{"ca", "front-proxy-ca", "etcd/ca"} {
		if name != "etcd/ca" || !c.ExternalEtcd() {
			paths = append(paths, pkiDir+"/"+name+".key", pkiDir+"/"+name+".crt")
		}
	}
	return filesAt(paths...)
}

// EtcdClientFiles returns the files with which the API servers connect to an etcd that
// does not run on the control planes, without their content: the CA of etcd, the
// certificate of the client, and its key.
func EtcdClientFiles() []host.File {
	return filesAt(EtcdCA+".crt", etcdClient+".crt", etcdClient+".key")
}

// EtcdAuthority returns the files of etcd's own CA on a host with the role etcd, without
// their content.
func EtcdAuthority() []host.File { return filesAt(EtcdCA+".crt", EtcdCA+".key") }

// filesAt returns files of kubeadm with their modes.
func filesAt(paths ...string) []host.File {
	var files []host.File
	for _, path := range paths {
		if public := strings.HasSuffix(path, ".crt") || strings.HasSuffix(path, ".pub"); public {
			files = append(files, host.File{Path: path, Mode: fs.FileMode(0o644)})
		} else {
			files = append(files, host.File{Path: path, Mode: fs.FileMode(0o600), Secret: true})
		}
	}
	return files
}

// Leftovers returns what an interrupted `kubeadm join` leaves on a control plane, whether
// it exists or not: the next one must not find any of it.
func Leftovers(c *config.Cluster) []string {
	paths := []string{kubeletPKI, pkiDir + "/sa.key", pkiDir + "/sa.pub", etcKubernetes + "/bootstrap-kubelet.conf"}
	for _, a := range authorities {
		for _, name := range append([]string{a.name}, a.signs...) {
			paths = append(paths, pkiDir+"/"+name+".crt", pkiDir+"/"+name+".key")
		}
	}
	for _, name := range kubeconfigs {
		paths = append(paths, etcKubernetes+"/"+name+".conf")
	}
	for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		paths = append(paths, etcKubernetes+"/manifests/"+component+".yaml")
	}
	if !c.ExternalEtcd() {
		return append(paths, DataDir(c)+"/member")
	}
	kept := EtcdClientFiles()
	return slices.DeleteFunc(paths, func(path string) bool {
		return slices.ContainsFunc(kept, func(f host.File) bool { return f.Path == path })
	})
}

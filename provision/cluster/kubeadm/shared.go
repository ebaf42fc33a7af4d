package kubeadm

import (
	"cmp"
	"io/fs"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
)

// SharedFiles returns the files that all control planes have in common, without their
// content: the CAs and the keys of service accounts, and the client certificate of an
// etcd that runs elsewhere (Kubernetes, cmd/kubeadm/app/phases/certs, "SharedCertificateExists").
func SharedFiles(c *config.Cluster) []host.File {
	paths := []string{pkiDir + "/sa.key", pkiDir + "/sa.pub"}
	for _, name := range []string{"ca", "front-proxy-ca", "etcd/ca"} {
		if name != "etcd/ca" || !ExternalEtcd(c) {
			paths = append(paths, pkiDir+"/"+name+".key", pkiDir+"/"+name+".crt")
		}
	}
	if ExternalEtcd(c) {
		external, _ := etcdSection(c)["external"].(map[string]any)
		for _, file := range [][2]string{{"keyFile", "apiserver-etcd-client.key"}, {"certFile", "apiserver-etcd-client.crt"}, {"caFile", "etcd/ca.crt"}} {
			path, _ := external[file[0]].(string)
			paths = append(paths, cmp.Or(path, pkiDir+"/"+file[1]))
		}
	}
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
	if !ExternalEtcd(c) {
		paths = append(paths, DataDir(c)+"/member")
	}
	return paths
}

package facts

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kubernetes is what a host has of a cluster, whichever installer created it.
type Kubernetes struct {
	// Certificates are those in /etc/kubernetes/pki, those of the administrators and
	// components in kubeconfigs, and those with which kubelet serves.
	Certificates []Certificate
	// Kubelet is the client certificate of kubelet in PEM; empty before it joined.
	Kubelet []byte
	// Finalized: kubelet.conf uses the certificate that kubelet rotates. On the host
	// of `kubeadm init`, only the addons are left to install then.
	Finalized bool
	// CgroupDriver is that of kubelet's configuration: "systemd" or "cgroupfs"; empty
	// before the host joined.
	CgroupDriver string
	// StaticPods are the images of the control plane's pods, by component:
	// "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler".
	StaticPods map[string]string
	// Files are the files of kubeadm and kubelet: certificates, keys, kubeconfigs,
	// manifests, kubelet's configuration.
	Files []KubeFile
	// Started is when the processes of static pods started that read their kubeconfig
	// only then, by component: "kube-controller-manager", "kube-scheduler", "kube-vip".
	// Written is when each kubeconfig was written last, by path.
	Started, Written map[string]time.Time
}

// KubeFile is a file that kubeadm or kubelet wrote.
type KubeFile struct {
	Path string
	// Damaged: it is empty, truncated or something else.
	Damaged bool
}

// Intact reports whether the file exists and can be read.
func (k Kubernetes) Intact(path string) bool {
	return slices.Contains(k.Files, KubeFile{Path: path}) && !slices.Contains(k.Damaged(), path)
}

// Damaged returns the paths of the files that exist and cannot be read.
func (k Kubernetes) Damaged() []string {
	var damaged []string
	for _, file := range k.Files {
		undecodable := slices.ContainsFunc(k.Certificates, func(c Certificate) bool {
			return c.Path == file.Path && parse(c.PEM) == nil
		})
		if file.Damaged || undecodable {
			damaged = append(damaged, file.Path)
		}
	}
	return damaged
}

// Certificate is a file with a certificate, and the certificate in PEM.
type Certificate struct {
	Path string
	PEM  []byte
}

// caFile is the certificate of the cluster's CA. Workers have it too. etcdCAFile is that
// of etcd's own CA.
const (
	caFile     = "/etc/kubernetes/pki/ca.crt"
	etcdCAFile = "/etc/kubernetes/pki/etcd/ca.crt"
)

// CAHash identifies the cluster that the host belongs to: the hash of the public
// key of its CA, as `kubeadm join --discovery-token-ca-cert-hash` takes it
// ("sha256:" and 64 hexadecimal digits). It is empty if the host belongs to none.
func (k Kubernetes) CAHash() string { return k.hash(caFile) }

// EtcdCAHash identifies the etcd of the host: the hash of the public key of its CA. It is
// empty if the host has none.
func (k Kubernetes) EtcdCAHash() string { return k.hash(etcdCAFile) }

func (k Kubernetes) hash(path string) string {
	certificate := k.Certificate(path)
	if certificate == nil {
		return ""
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Serves reports whether a certificate is valid until a time, and signed by a CA. It is
// true for one that the host does not have, and for a CA that it does not have.
func (k Kubernetes) Serves(path, ca string, until time.Time) bool {
	certificate, authority := k.Certificate(path), k.Certificate(ca)
	if certificate == nil {
		return true
	}
	return until.Before(certificate.NotAfter) && (authority == nil || certificate.CheckSignatureFrom(authority) == nil)
}

// Certificate returns the certificate in a file of Certificates, or nil.
func (k Kubernetes) Certificate(path string) *x509.Certificate {
	for _, c := range k.Certificates {
		if c.Path == path {
			return parse(c.PEM)
		}
	}
	return nil
}

// NodeName returns the name of the Node as which kubelet authenticates to the API
// server; empty before it joined.
func (k Kubernetes) NodeName() string {
	certificate := parse(k.Kubelet)
	if certificate == nil {
		return ""
	}
	name, ok := strings.CutPrefix(certificate.Subject.CommonName, "system:node:")
	if !ok {
		return ""
	}
	return name
}

// set sets a fact about a cluster. It returns false if the key is not one.
func (k *Kubernetes) set(key string, words []string) bool {
	switch {
	case key == "certificate" && len(words) == 2:
		if content, err := base64.StdEncoding.DecodeString(words[1]); err == nil {
			k.Certificates = append(k.Certificates, Certificate{Path: words[0], PEM: content})
		}
	case key == "kubeletCertificate" && len(words) == 1:
		k.Kubelet, _ = base64.StdEncoding.DecodeString(words[0])
	case key == "kubeletFinalized":
		k.Finalized = true
	case key == "kubeletCgroupDriver" && len(words) == 1:
		k.CgroupDriver = words[0]
	case key == "kubeFile" && len(words) == 2:
		k.Files = append(k.Files, KubeFile{Path: words[0], Damaged: words[1] != "ok"})
	case key == "started" && len(words) == 2:
		name := words[0]
		if name == "kube-controller" { // the kernel keeps 15 characters
			name = "kube-controller-manager"
		}
		setTime(&k.Started, name, words[1])
	case key == "written" && len(words) == 2:
		setTime(&k.Written, words[0], words[1])
	case key == "staticPod" && len(words) == 2:
		if k.StaticPods == nil {
			k.StaticPods = map[string]string{}
		}
		k.StaticPods[words[0]] = words[1]
	default:
		return false
	}
	return true
}

// Parse returns the certificate, or nil if it cannot be read.
func (c Certificate) Parse() *x509.Certificate { return parse(c.PEM) }

// Stale reports whether the process of a component started before its kubeconfig was
// written. Times are whole seconds, so that a second more or less does not count. A file
// from the future does not either: the clock was set back.
func (k Kubernetes) Stale(component, kubeconfig string, now time.Time) bool {
	started, written := k.Started[component], k.Written[kubeconfig]
	return !started.IsZero() && written.Sub(started) > time.Second && written.Before(now)
}

// setTime sets the time of a name.
func setTime(times *map[string]time.Time, name, seconds string) {
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return
	}
	if *times == nil {
		*times = map[string]time.Time{}
	}
	(*times)[name] = time.Unix(unix, 0)
}

// parse returns the first certificate in PEM, or nil.
func parse(text []byte) *x509.Certificate {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return certificate
}

// Member reports whether the host is a control plane of a cluster: it has the key
// of its CA, and data of etcd.
func (f *Facts) Member() bool { return f.Exists(CAKey) && f.Exists(EtcdMember) }

// Joining reports whether a join of slipway has started on the host and has not
// completed. What the host has of the cluster may be partial.
func (f *Facts) Joining() bool { return f.Exists(JoinConfig) }

// Joined reports whether the host is a node of a cluster, or was becoming one when the
// installation was interrupted. A host that runs etcd alone is no node.
func (f *Facts) Joined() bool {
	return f.Exists(CAKey) || f.Exists(EtcdMember) && !f.Exists(EtcdService) || f.Exists(KubeletConf)
}

// Entrance reports whether the host is a control plane that has completed: its data is
// here, or its API server uses an etcd that runs elsewhere.
func (f *Facts) Entrance() bool {
	return f.Member() || f.Exists(CAKey) && f.Exists(APIServerManifest) && f.Kubernetes.StaticPods["etcd"] == ""
}

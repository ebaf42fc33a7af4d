package kubeadm

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
)

// Renewer is who renews a certificate.
type Renewer string

const (
	// RenewedBySlipway: `slipway apply` does, once it is due.
	RenewedBySlipway Renewer = "slipway"
	// RenewedByKubelet: kubelet requests another one, after 70 % to 90 % of the lifetime.
	RenewedByKubelet Renewer = "kubelet"
	// RenewedByApproval: the same, and `slipway apply` approves the request.
	RenewedByApproval Renewer = "kubelet, approved by slipway"
	// RenewedFromInventory: the inventory has the file that apply copies to the host.
	RenewedFromInventory Renewer = "inventory"
	// RenewedByHand: it is a CA, or its CA is not on the host, or kubeadm does not know it.
	RenewedByHand Renewer = "you"
	// NotRenewed: nothing verifies it.
	NotRenewed Renewer = "nobody"
)

// A certificate is due once less than a sixth of its lifetime is left: two months of a
// year. kubelet renews its own before; after nine tenths, it has failed to. A CA is due a
// year before its end, since kubeadm issues certificates for a year.
const (
	dueFraction     = 6
	overdueFraction = 10
	authorityLeft   = 365 * 24 * time.Hour
)

const (
	kubeletClientFile  = kubeletPKI + "/kubelet-client-current.pem"
	kubeletServingFile = kubeletPKI + "/kubelet-server-current.pem"
	kubeletSelfSigned  = kubeletPKI + "/kubelet.crt"
)

// Certificate is a certificate of kubeadm or kubelet on a host.
type Certificate struct {
	// Path is its file, which may be a kubeconfig.
	Path                string
	NotBefore, NotAfter time.Time
	Renewer             Renewer
	// Name is that for `kubeadm certs renew`; empty if kubeadm does not renew it here.
	Name string
	// Authority: it is the certificate of a CA.
	Authority bool
	// External: its CA is not on the host.
	External bool
}

// Left is what is left of the lifetime.
func (c Certificate) Left(now time.Time) time.Duration { return c.NotAfter.Sub(now) }

// Days are the whole days that are left; negative once it has expired.
func (c Certificate) Days(now time.Time) int {
	left := c.Left(now)
	if left < 0 {
		left -= 24 * time.Hour
	}
	return int(left.Hours() / 24)
}

// Expired reports whether nothing accepts it any more.
func (c Certificate) Expired(now time.Time) bool { return !now.Before(c.NotAfter) }

// Due reports whether it is to be renewed, or should have been.
func (c Certificate) Due(now time.Time) bool {
	lifetime, left := c.NotAfter.Sub(c.NotBefore), c.Left(now)
	switch {
	case c.Renewer == NotRenewed:
		return false
	case c.Authority:
		return left < min(authorityLeft, lifetime/2)
	case c.Renewer == RenewedByKubelet:
		return left < lifetime/overdueFraction
	default:
		return left < lifetime/dueFraction
	}
}

// Warning says what somebody has to do about it, on a host; empty if nothing.
func (c Certificate) Warning(host string, now time.Time) string {
	if !c.Due(now) {
		return ""
	}
	state := fmt.Sprintf("expires in %d days", c.Days(now))
	if c.Expired(now) {
		state = "expired on " + c.NotAfter.UTC().Format(time.DateOnly)
	}
	return fmt.Sprintf("%s on %s %s: %s", c.Path, host, state, c.Remedy(now))
}

// Remedy says how it is renewed.
func (c Certificate) Remedy(now time.Time) string {
	switch {
	case c.Authority && c.Renewer == RenewedFromInventory:
		return "replace etcd.external.caFile, then run `slipway apply`"
	case c.Authority:
		return "replace the CA: see docs/certificates.md, \"Rotate a CA\""
	case c.Renewer == RenewedFromInventory:
		return "replace etcd.external.certFile and keyFile, then run `slipway apply`, which copies them"
	case c.Name != "" && c.Expired(now):
		return "run `slipway certificates renew`, which does not need the API server"
	case c.Renewer == RenewedBySlipway:
		return "run `slipway apply` on all hosts, which renews it"
	case c.Renewer == RenewedByApproval:
		return "run `slipway apply`, which approves the request of kubelet"
	case c.Renewer == RenewedByKubelet && c.Expired(now):
		return "kubelet cannot request another one: see docs/certificates.md, \"A kubelet whose certificate has expired\""
	case c.Renewer == RenewedByKubelet:
		return "kubelet has not renewed it: see `journalctl -u kubelet` and `kubectl get csr`"
	case c.External:
		return "let the CA that signed it sign another one: its key is not on the host"
	default:
		return "renew it: kubeadm does not"
	}
}

// Certificates returns those of kubeadm and kubelet that a host has, by their paths.
func Certificates(c *config.Cluster, h config.Host, k facts.Kubernetes) []Certificate {
	var all []Certificate
	if k.Kubelet != nil {
		file := kubeletConf
		if k.Finalized {
			file = kubeletClientFile
		}
		all = append(all, Certificate{Path: file, Renewer: RenewedByKubelet}.of(facts.Certificate{PEM: k.Kubelet}))
	}
	signed := c.ServerTLSBootstrap()
	has := func(path string) bool {
		return slices.ContainsFunc(k.Certificates, func(file facts.Certificate) bool { return file.Path == path })
	}
	for _, file := range k.Certificates {
		if file.Path == kubeletSelfSigned && signed && has(kubeletServingFile) || file.Path == kubeletServingFile && !signed {
			continue // kubelet does not use it any more
		}
		all = append(all, renewerOf(c, h, k, file.Path).of(file))
	}
	all = slices.DeleteFunc(all, func(c Certificate) bool { return c.NotAfter.IsZero() })
	slices.SortFunc(all, func(a, b Certificate) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

// of takes the lifetime of a certificate, which stays zero if it cannot be read.
func (c Certificate) of(file facts.Certificate) Certificate {
	if parsed := file.Parse(); parsed != nil {
		c.NotBefore, c.NotAfter = parsed.NotBefore, parsed.NotAfter
	}
	return c
}

// renewerOf finds out who renews the certificate in a file.
func renewerOf(c *config.Cluster, h config.Host, k facts.Kubernetes, file string) Certificate {
	renewed := Certificate{Path: file, Renewer: RenewedByHand}
	etcdHost, existing := h.Has(config.RoleEtcd), len(c.Etcd.External.Endpoints) > 0
	switch {
	case file == kubeletSelfSigned:
		renewed.Renewer = NotRenewed
		return renewed
	case file == kubeletServingFile:
		renewed.Renewer = RenewedByApproval
		return renewed
	case file == etcdClient+".crt" && c.ExternalEtcd() && !etcdHost:
		renewed.Renewer = RenewedBySlipway // copied from a host of etcd
		if existing {
			renewed.Renewer = RenewedFromInventory
		}
		return renewed
	}
	if slices.ContainsFunc(authorities, func(a authority) bool { return file == pkiDir+"/"+a.name+".crt" }) {
		renewed.Authority = true
		if existing && file == EtcdCA+".crt" {
			renewed.Renewer = RenewedFromInventory
		}
		return renewed
	}
	signer, name := signerOf(file)
	switch {
	case signer == "":
	case !k.Intact(pkiDir + "/" + signer + ".key"):
		renewed.External = true
	default:
		renewed.Renewer, renewed.Name = RenewedBySlipway, name
	}
	return renewed
}

// signerOf returns the CA that signs the certificate in a file, and its name for `kubeadm
// certs renew`; both are empty if kubeadm does not renew it. The names are those of the
// files, with a dash for each slash, and of the kubeconfigs (Kubernetes,
// cmd/kubeadm/app/phases/certs/renewal/manager.go).
func signerOf(file string) (signer, name string) {
	if conf, ok := strings.CutSuffix(path.Base(file), ".conf"); ok {
		if path.Dir(file) == etcKubernetes && conf != "kubelet" && slices.Contains(kubeconfigs, conf) {
			return "ca", path.Base(file)
		}
		return "", ""
	}
	for _, a := range authorities {
		for _, base := range a.signs {
			if file != pkiDir+"/"+base+".crt" {
				continue
			}
			return a.name, strings.ReplaceAll(base, "/", "-")
		}
	}
	return "", ""
}

// StalePods returns the static pods whose processes read a kubeconfig when they started,
// and run with an older one. It is nil if none does.
//
// Everything else reads its files again by itself (Kubernetes 1.35 to 1.37, etcd 3.5 to
// 3.7):
//   - The API server checks its serving certificate and that of the aggregator once a
//     minute, and when the files change (apiserver, pkg/server/dynamiccertificates,
//     dynamic_serving_content.go; kube-aggregator, pkg/apiserver/apiserver.go).
//   - It checks its client certificate for kubelets every five minutes, and closes
//     connections with the old one (client-go, transport/cert_rotation.go, since
//     pkg/kubelet/client/kubelet_client.go sets ReloadTLSFiles).
//   - It reads its client certificate for etcd at each handshake, and so does etcd with its
//     serving and peer certificates (etcd, client/pkg/transport/listener.go,
//     GetCertificate and GetClientCertificate). Connections that exist stay.
//   - kubelet renews its own.
//
// The controller manager, the scheduler and kube-vip have a certificate in their
// kubeconfig, which client-go parses once.
func StalePods(k facts.Kubernetes, now time.Time) []string {
	var stale []string
	for _, reader := range KubeconfigReaders() {
		if k.Stale(reader.Pod, reader.Kubeconfig, now) {
			stale = append(stale, reader.Pod)
		}
	}
	return stale
}

// KubeconfigReader is a static pod that reads a kubeconfig when it starts.
type KubeconfigReader struct{ Pod, Kubeconfig string }

// KubeconfigReaders are those of a control plane.
func KubeconfigReaders() []KubeconfigReader {
	return []KubeconfigReader{
		{"kube-controller-manager", etcKubernetes + "/controller-manager.conf"},
		{"kube-scheduler", etcKubernetes + "/scheduler.conf"},
		{"kube-vip", etcKubernetes + "/admin.conf"},
	}
}

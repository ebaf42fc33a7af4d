package preflight

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	goversion "github.com/hashicorp/go-version"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// kubeadmChecks are about an installation that is there already.
func kubeadmChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "leftovers", Title: "nothing of another installation", Kind: check.Host, Severity: check.Error,
				Looks:  "Files that kubeadm leaves and listeners on the cluster's ports, on machines without slipway's journal.",
				Why:    "slipway goes on with an installation of its own, and touches no other.",
				Manual: []string{"ls /etc/kubernetes /var/lib/etcd; ss -ltnp", "kubeadm reset"},
			},
			run: eachHost(leftovers),
		},
		{
			Description: check.Description{
				Name: "pod-network", Title: "the pod network stays the one it is", Kind: check.Host, Severity: check.Error,
				Looks:  "Which pod network has its configuration in /etc/cni/net.d of an installed machine, and network.cni.name.",
				Why:    "Every pod has an address of the pod network, and each kernel its rules: two of them take each other's traffic.",
				Manual: []string{"ls /etc/cni/net.d"},
			},
			run: podNetwork,
		},
		{
			Description: check.Description{
				Name: "skew", Title: "the installed kubelet fits the wanted version", Kind: check.Host, Severity: check.Error,
				Looks:  "The version of the kubelet on the PATH, and kubernetes.version.",
				Why:    "A kubelet may not be newer than the API server, nor more than three minor versions older (Kubernetes' version skew policy).",
				Manual: []string{"kubelet --version"},
			},
			run: skew,
		},
		{
			Description: check.Description{
				Name: "cert-expiry", Title: "kubeadm's certificates are valid for long enough", Kind: check.Host, Severity: check.Error,
				Looks:  "The end of the validity of the certificates below /etc/kubernetes/pki.",
				Why:    "They last a year; afterwards nothing can talk to the API server.",
				Manual: []string{"kubeadm certs check-expiration", "kubeadm certs renew all"},
			},
			run: eachHost(certExpiry),
		},
	}
}

// leftovers: what another installation left, or runs. One of ours is known by
// its journal, and is gone on with.
func leftovers(h config.Host, f *facts.Facts) []check.Finding {
	if hasJournal(f) {
		return nil
	}
	var found []check.Finding
	for _, path := range []facts.Path{facts.AdminConf, facts.KubeletConf, facts.APIServerManifest, facts.EtcdMember} {
		if f.Exists(path) {
			found = append(found, check.Finding{
				Evidence: string(path) + " is there, and slipway did not put it there",
				Fix:      "take the other cluster's node down first: kubeadm reset",
			})
		}
	}
	ports := []int{kubeletPort, 10256}
	if h.Has(config.RoleControlPlane) {
		ports = append(ports, apiPort, etcdClients, etcdPeers, 10257, 10259)
	}
	found = append(found, portsUnseen(f)...)
	for _, listener := range f.Listeners {
		for _, port := range ports {
			if listener.Port == port {
				found = append(found, check.Finding{
					Evidence: strings.TrimSpace(fmt.Sprintf("port %d is taken by %s", port, listener.Process)),
					Fix:      fmt.Sprintf("stop what listens there: ss -ltnp 'sport = :%d'", port),
				})
			}
		}
	}
	return found
}

// portsUnseen says that listeners cannot be seen.
func podNetwork(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, m := range cc.reachable() {
		for _, network := range config.PodNetworks() {
			there := m.Facts().Exists(facts.Path("/etc/cni/net.d/10-" + network + ".conflist"))
			if wanted := cc.cluster.Network.CNI.Name; there && installed(m.Facts()) && wanted != network {
				found = append(found, check.Finding{
					Host:     m.Config.Name,
					Evidence: fmt.Sprintf("the cluster's pod network is %s, the inventory wants %s", network, wanted),
					Fix:      "set network.cni.name to " + network + ", or begin anew: slipway reset, then slipway apply",
				})
			}
		}
	}
	return found
}

func portsUnseen(f *facts.Facts) []check.Finding {
	if !f.Lacks("ss") {
		return nil
	}
	return []check.Finding{{Severity: check.Unknown, Evidence: "without ss it cannot be seen who listens", Fix: install(f, distro.IPRoute)}}
}

// oldestKubelet is how many minor versions a kubelet may be behind.
const oldestKubelet = 3

func skew(cc *checkContext) []check.Finding {
	wanted, err := goversion.NewVersion(cc.cluster.Kubernetes.Version)
	if err != nil {
		return nil // the inventory's validation has said so
	}
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		have, err := goversion.NewVersion(f.Software.Kubelet)
		if err != nil {
			return nil
		}
		behind := wanted.Segments()[1] - have.Segments()[1]
		switch {
		case behind < 0:
			return []check.Finding{{
				Evidence: fmt.Sprintf("kubelet %s is newer than the wanted %s", f.Software.Kubelet, cc.cluster.Kubernetes.Version),
				Fix:      "set kubernetes.version to at least v" + have.String() + ", or remove that kubelet",
			}}
		case behind > oldestKubelet:
			return []check.Finding{{
				Severity: check.Warning,
				Evidence: fmt.Sprintf("kubelet %s is more than %d minor versions behind the wanted %s", f.Software.Kubelet, oldestKubelet, cc.cluster.Kubernetes.Version),
				Fix:      "remove that kubelet: slipway installs its own",
			}}
		}
		return nil
	})(cc)
}

// renewBefore is how long ahead an end of validity is told.
const renewBefore = 30 * 24 * time.Hour

func certExpiry(_ config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	for _, c := range f.Software.Certificates {
		block, _ := pem.Decode(c.PEM)
		if block == nil {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			found = append(found, check.Finding{Severity: check.Unknown, Evidence: c.Path + ": " + err.Error(), Fix: "kubeadm certs check-expiration"})
			continue
		}
		left := time.Until(certificate.NotAfter)
		day := certificate.NotAfter.UTC().Format(time.DateOnly)
		switch {
		case left <= 0:
			found = append(found, check.Finding{Evidence: c.Path + " expired on " + day, Fix: "kubeadm certs renew all, then restart the control plane's pods"})
		case left < renewBefore:
			found = append(found, check.Finding{
				Severity: check.Warning,
				Evidence: fmt.Sprintf("%s expires on %s, in %d days", c.Path, day, int(left.Hours()/24)),
				Fix:      "kubeadm certs renew all, then restart the control plane's pods",
			})
		}
	}
	return found
}

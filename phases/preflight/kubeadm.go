package preflight

import (
	"encoding/pem"
	"fmt"
	"time"

	goversion "github.com/hashicorp/go-version"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
)

// kubeadmChecks are about an existing installation.
func kubeadmChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "leftovers", Title: "the host has no other Kubernetes installation", Kind: check.Host, Severity: check.Error,
				Examines: "Files of kubeadm and listeners on the cluster's ports, on hosts without a journal of slipway.",
				Why:      "slipway resumes its own installations only, and never changes another one.",
				Manual:   []string{"ls /etc/kubernetes /var/lib/etcd; ss -ltnp", "kubeadm reset"},
			},
			run: func(cc *checkContext) []check.Finding { return eachHost(leftovers(cc.cluster))(cc) },
		},
		{
			Description: check.Description{
				Name: "pod-network", Title: "the pod network does not change", Kind: check.Host, Severity: check.Error,
				Examines: "Which pod network has its configuration in /etc/cni/net.d of an installed host, and network.cni.name.",
				Why:      "Pods keep the addresses, and hosts keep the rules, of the old pod network: two networks break each other.",
				Manual:   []string{"ls /etc/cni/net.d"},
			},
			run: podNetwork,
		},
		{
			Description: check.Description{
				Name: "skew", Title: "the installed kubelet is within the version skew policy", Kind: check.Host, Severity: check.Error,
				Examines: "The version of the kubelet on the PATH, and kubernetes.version.",
				Why:      "A kubelet may not be newer than the API server, nor more than three minor versions older (Kubernetes' version skew policy).",
				Manual:   []string{"kubelet --version"},
			},
			run: skew,
		},
		{
			Description: check.Description{
				Name: "cert-expiry", Title: "the certificates of kubeadm and kubelet do not expire soon", Kind: check.Host, Severity: check.Error,
				Examines: "The expiry dates of the certificates in /etc/kubernetes/pki, in the kubeconfigs there, and of those of kubelet.",
				Why: "They expire after a year. Then no client can connect to the API server. `slipway apply` renews them once less than a " +
					"sixth of their lifetime is left, but not those of a CA whose key is not on the host, and not the CAs.",
				Manual: []string{"kubeadm certs check-expiration", "kubeadm certs renew all"},
			},
			run: func(cc *checkContext) []check.Finding { return eachHost(certExpiry(cc.cluster))(cc) },
		},
	}
}

// leftovers finds files and listeners of another installation. A host with a
// journal has an installation of slipway, which apply resumes.
func leftovers(c *config.Cluster) func(config.Host, *facts.Facts) []check.Finding {
	return func(h config.Host, f *facts.Facts) []check.Finding {
		if hasJournal(f) {
			return nil
		}
		var found []check.Finding
		for _, path := range []facts.Path{facts.AdminConf, facts.KubeletConf, facts.APIServerManifest, facts.EtcdMember} {
			if f.Exists(path) {
				found = append(found, check.Finding{
					Evidence: string(path) + " exists, and slipway did not create it",
					Fix:      "remove the other installation first: kubeadm reset",
				})
			}
		}
		ports := []int{kubeletPort, 10256}
		switch {
		case h.Has(config.RoleEtcd):
			ports = []int{kubeletPort, etcdClients, etcdPeers}
		case h.Has(config.RoleControlPlane):
			ports = append(ports, c.ControlPlane.BindPort, 10257, 10259)
			if !c.ExternalEtcd() {
				ports = append(ports, etcdClients, etcdPeers)
			}
		}
		found = append(found, portsUnseen(f)...)
		for _, listener := range f.Listeners {
			for _, port := range ports {
				// Another run may measure the network at the same moment.
				if listener.Port == port && listener.Process != netprobe.Program {
					found = append(found, check.Finding{
						Evidence: inUse(listener),
						Fix:      fmt.Sprintf("stop the process that listens there: ss -ltnp 'sport = :%d'", port),
					})
				}
			}
		}
		return found
	}
}

func podNetwork(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		for _, network := range config.PodNetworks() {
			exists := h.Facts().Exists(facts.Path("/etc/cni/net.d/10-" + network + ".conflist"))
			if wanted := cc.cluster.Network.CNI.Name; exists && installed(h.Facts()) && wanted != network {
				found = append(found, check.Finding{
					Host:     h.Config.Name,
					Evidence: fmt.Sprintf("the cluster's pod network is %s, but the inventory sets %s", network, wanted),
					Fix:      "set network.cni.name to " + network + ", or reinstall the cluster: slipway reset --yes, then slipway apply",
				})
			}
		}
	}
	return found
}

// inUse is the evidence for a listener on a port that the cluster needs.
func inUse(l facts.Listener) string {
	if l.Process == "" {
		return fmt.Sprintf("port %d is in use", l.Port)
	}
	return fmt.Sprintf("port %d is in use by %s", l.Port, l.Process)
}

// portsUnseen reports that the listeners of the host are not known.
func portsUnseen(f *facts.Facts) []check.Finding {
	if !f.Lacks("ss") {
		return nil
	}
	return []check.Finding{{Severity: check.Unknown, Evidence: "ss is not installed: listeners cannot be checked", Fix: install(f, distro.IPRoute)}}
}

// oldestKubelet is how many minor versions a kubelet may be behind.
const oldestKubelet = 3

func skew(cc *checkContext) []check.Finding {
	wanted, err := goversion.NewVersion(cc.hosts.Version(cc.cluster))
	if err != nil {
		return nil // the inventory's validation has said so
	}
	of := wanted.Original() + " in the inventory"
	if cc.configured() {
		of = wanted.Original() + " of the cluster"
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
				Evidence: fmt.Sprintf("kubelet %s is newer than %s", f.Software.Kubelet, of),
				Fix:      "set kubernetes.version to at least v" + have.String() + ", or remove that kubelet",
			}}
		case behind > oldestKubelet:
			return []check.Finding{{
				Severity: check.Warning,
				Evidence: fmt.Sprintf("kubelet %s is more than %d minor versions behind %s", f.Software.Kubelet, oldestKubelet, of),
				Fix:      "remove that kubelet: slipway installs its own",
			}}
		}
		return nil
	})(cc)
}

func certExpiry(c *config.Cluster) func(config.Host, *facts.Facts) []check.Finding {
	return func(h config.Host, f *facts.Facts) []check.Finding {
		var found []check.Finding
		for _, file := range f.Kubernetes.Certificates {
			if block, _ := pem.Decode(file.PEM); block == nil || file.Parse() != nil {
				continue // damaged files have a check of their own
			}
			found = append(found, check.Finding{Severity: check.Unknown, Evidence: file.Path + " has a certificate that cannot be read", Fix: "kubeadm certs check-expiration"})
		}
		now := time.Now()
		for _, certificate := range kubeadm.Certificates(c, h, f.Kubernetes) {
			if certificate.Due(now) {
				found = append(found, expiring(h, certificate, now))
			}
		}
		return found
	}
}

// expiring is the finding of a certificate that is due. An error would stop the apply that
// renews it; but the API server may not answer with one that has expired.
func expiring(h config.Host, c kubeadm.Certificate, now time.Time) check.Finding {
	day := c.NotAfter.UTC().Format(time.DateOnly)
	finding := check.Finding{Severity: check.Warning, Fix: c.Remedy(now), Evidence: fmt.Sprintf("%s expires on %s, in %d days", c.Path, day, c.Days(now))}
	renewed := c.Renewer == kubeadm.RenewedBySlipway || c.Renewer == kubeadm.RenewedByApproval
	switch {
	case !c.Expired(now) && renewed:
		finding.Severity = check.Info
	case c.Expired(now):
		finding.Evidence = c.Path + " expired on " + day
		// Without its client certificate, only this node is not ready.
		others := renewed || c.Renewer == kubeadm.RenewedFromInventory || c.Renewer == kubeadm.RenewedByKubelet
		if !others || c.Name != "" && !h.Has(config.RoleEtcd) {
			finding.Severity = "" // that of the check
		}
	}
	return finding
}

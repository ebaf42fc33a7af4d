package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// networkChecks are about the network of single machines.
func networkChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "firewall", Title: "no firewall stands in the way", Kind: check.Host, Severity: check.Warning,
				Looks: "ufw, firewalld, and policies of iptables and nftables that drop what comes in.",
				Why:   "A firewall without the cluster's ports gives \"no route to host\" and DNS time-outs. The check mesh tells which ports are closed.",
				Manual: []string{
					"ufw status; firewall-cmd --state; iptables -S INPUT; nft list ruleset",
					"ufw allow PORT/tcp    # or: firewall-cmd --permanent --add-port=PORT/tcp && firewall-cmd --reload",
				},
			},
			run: firewall,
		},
		{
			Description: check.Description{
				Name: "dhcp-address", Title: "the node's address is a fixed one", Kind: check.Host, Severity: check.Warning,
				Looks:  "Whether the address of the node was leased.",
				Why:    "etcd and the certificates are bound to the address: with another one after a reboot the control plane does not start.",
				Manual: []string{"ip -4 addr    # \"dynamic\" is a leased address"},
			},
			run: dhcpAddress,
		},
		{
			Description: check.Description{
				Name: "dns-loop", Title: "the name server is not the machine itself", Kind: check.Host, Severity: check.Error,
				Looks:  "Name servers of 127.0.0.0/8 in /etc/resolv.conf, and whether systemd-resolved has the real ones.",
				Why:    "CoreDNS forwards to what resolv.conf says: to itself, on the loopback, and ends with \"Loop detected\".",
				Manual: []string{"cat /etc/resolv.conf /run/systemd/resolve/resolv.conf", "# in the inventory: kubernetes.kubeletConfiguration.resolvConf: /path/of/the/real/one"},
			},
			run: dnsLoop,
		},
		{
			Description: check.Description{
				Name: "calico-interface", Title: "Calico cannot choose a bridge", Kind: check.Host, Severity: check.Warning,
				Looks:  "Bridges with an address of their own, such as docker0.",
				Why:    "Calico takes the first address that it finds: that of docker0 is the same on every machine.",
				Manual: []string{"ip -br -4 addr show type bridge", "kubectl set env daemonset/calico-node -n kube-system IP_AUTODETECTION_METHOD=kubernetes-internal-ip"},
			},
			applies: expects("calico"), run: eachHost(calicoInterface),
		},
		{
			Description: check.Description{
				Name: "checksum-offload", Title: "VXLAN's checksums are right", Kind: check.Host, Severity: check.Warning,
				Looks:  "The kernel's version, where the pod network is VXLAN.",
				Why:    "Kernels before 5.7 send wrong checksums for UDP over VXLAN with some drivers: DNS through Services times out.",
				Manual: []string{"uname -r; ethtool -k flannel.1 | grep tx-checksum-ip-generic", "ethtool -K flannel.1 tx-checksum-ip-generic off"},
			},
			applies: func(c *config.Cluster) string {
				if c.Network.CNI.Backend != config.BackendVXLAN && !c.Expects("calico") {
					return "the pod network is not VXLAN"
				}
				return ""
			},
			run: eachHost(checksumOffload),
		},
	}
}

// expects makes a check apply where the inventory expects one of the
// components.
func expects(components ...string) func(*config.Cluster) string {
	return func(c *config.Cluster) string {
		if slices.ContainsFunc(components, c.Expects) {
			return ""
		}
		return "the inventory does not expect " + strings.Join(components, " or ")
	}
}

func firewall(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, m := range cc.reachable() {
		for _, name := range firewalls(m.Facts()) {
			found = append(found, check.Finding{
				Host: m.Config.Name, Evidence: name + " is active", Fix: cc.openPorts(name, m.Config.Name),
			})
		}
	}
	return found
}

// firewalls are those to be told: the rules of iptables and nftables are made
// by ufw or firewalld, where one of those is active.
func firewalls(f *facts.Facts) []string {
	var managers []string
	for _, fw := range distro.Firewalls() {
		if slices.Contains(f.Firewalls, fw.Name) || fw.Unit != "" && f.Active(fw.Unit) {
			managers = append(managers, fw.Name)
		}
	}
	if len(managers) > 0 {
		return managers
	}
	return f.Firewalls
}

// openPorts is the command that lets in what this cluster needs on a host.
func (cc *checkContext) openPorts(firewall, host string) string {
	var ports []distro.Port
	for _, need := range cc.needs() {
		if !slices.Contains(need.To, host) {
			continue
		}
		port := fmt.Sprint(need.Port)
		if need.Port == nodePort {
			port = "30000:32767"
		}
		ports = append(ports, distro.Port{Number: port, Protocol: string(need.Protocol)})
	}
	if manager, known := distro.FirewallOf(firewall); known {
		return manager.Open(ports...)
	}
	firewall, chain, _ := strings.Cut(firewall, " ")
	var commands []string
	for _, p := range ports {
		if firewall == "nftables" {
			commands = append(commands, fmt.Sprintf("nft insert rule %s %s dport %s accept", chain, p.Protocol, strings.Replace(p.Number, ":", "-", 1)))
		} else {
			commands = append(commands, fmt.Sprintf("iptables -I INPUT -p %s --dport %s -j ACCEPT", p.Protocol, p.Number))
		}
	}
	return strings.Join(commands, " && ")
}

func dhcpAddress(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, m := range cc.reachable() {
		addr, err := m.NodeIP()
		if err != nil {
			continue
		}
		for _, a := range m.Facts().Addresses {
			if a.Dynamic && a.Prefix.Addr() == addr {
				found = append(found, check.Finding{
					Host:     m.Config.Name,
					Evidence: fmt.Sprintf("%s on %s was leased", addr, a.Interface),
					Fix:      "reserve the address in the DHCP server, or give the machine a fixed one",
				})
			}
		}
	}
	return found
}

func dnsLoop(cc *checkContext) []check.Finding {
	if _, own := cc.cluster.Kubernetes.KubeletConfiguration["resolvConf"]; own {
		return nil
	}
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		i := slices.IndexFunc(f.Resolvers, netip.Addr.IsLoopback)
		switch {
		case i < 0:
			return nil
		case f.Exists(facts.ResolvedConfig):
			return []check.Finding{{
				Severity: check.Info, Evidence: fmt.Sprintf("the name server is %s, that of systemd-resolved", f.Resolvers[i]),
				Fix: "nothing: kubeadm lets kubelet use /run/systemd/resolve/resolv.conf",
			}}
		default:
			return []check.Finding{{
				Evidence: fmt.Sprintf("the name server is %s, and systemd-resolved is not there: CoreDNS would ask itself", f.Resolvers[i]),
				Fix:      "write the real name servers into a file, and set kubernetes.kubeletConfiguration.resolvConf to it",
			}}
		}
	})(cc)
}

func calicoInterface(_ config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	for _, a := range f.Addresses {
		if a.Prefix.Addr().Is4() && slices.Contains(f.Bridges, a.Interface) && a.Interface != "cni0" {
			found = append(found, check.Finding{
				Evidence: fmt.Sprintf("the bridge %s has %s", a.Interface, a.Prefix.Addr()),
				Fix:      "set IP_AUTODETECTION_METHOD=kubernetes-internal-ip for calico-node",
			})
		}
	}
	return found
}

// checksumsRight is the first kernel with the mended checksums.
var checksumsRight = goversion.Must(goversion.NewVersion("5.7"))

func checksumOffload(_ config.Host, f *facts.Facts) []check.Finding {
	plain, _, _ := strings.Cut(f.Kernel, "-")
	kernel, err := goversion.NewVersion(plain)
	if err != nil || kernel.GreaterThanOrEqual(checksumsRight) {
		return nil
	}
	return []check.Finding{{
		Evidence: "kernel " + f.Kernel + " may send wrong UDP checksums over VXLAN",
		Fix:      "boot a kernel of 5.7 or later; or, once the pod network is there: ethtool -K flannel.1 tx-checksum-ip-generic off",
	}}
}

package preflight

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// networkChecks are about the network of single hosts.
func networkChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "firewall", Title: "no firewall blocks the cluster", Kind: check.Host, Severity: check.Warning,
				Examines: "ufw, firewalld, and iptables and nftables policies that drop incoming packets. slipway opens ufw and firewalld, unless the inventory says `firewall: leave`.",
				Why:      "A firewall without the cluster's ports gives \"no route to host\" and DNS timeouts. The check reachability shows which ports are closed.",
				Manual: []string{
					"ufw status; firewall-cmd --state; iptables -S INPUT; nft list ruleset",
					"ufw allow PORT/tcp    # or: firewall-cmd --permanent --add-port=PORT/tcp && firewall-cmd --reload",
				},
			},
			run: firewall,
		},
		{
			Description: check.Description{
				Name: "dhcp-address", Title: "the node's address is static", Kind: check.Host, Severity: check.Warning,
				Examines: "Whether the address of the node is a DHCP lease.",
				Why:      "etcd and the certificates depend on the address: if it changes, the control plane does not start.",
				Manual:   []string{"ip -4 addr    # \"dynamic\" is a leased address"},
			},
			run: dhcpAddress,
		},
		{
			Description: check.Description{
				Name: "dns-loop", Title: "DNS does not loop through the host", Kind: check.Host, Severity: check.Error,
				Examines: "Name servers of 127.0.0.0/8 in /etc/resolv.conf, and whether systemd-resolved has the real ones.",
				Why:      "CoreDNS forwards to the servers in resolv.conf. With a loopback address it forwards to itself, and exits with \"Loop detected\".",
				Manual:   []string{"cat /etc/resolv.conf /run/systemd/resolve/resolv.conf", "# in the inventory: kubernetes.kubeletConfiguration.resolvConf: /path/of/the/real/one"},
			},
			run: dnsLoop,
		},
		{
			Description: check.Description{
				Name: "calico-interface", Title: "Calico does not choose a bridge", Kind: check.Host, Severity: check.Warning,
				Examines: "Bridges with an address of their own, such as docker0.",
				Why:      "Calico uses the first address that it finds. The address of docker0 is the same on all hosts.",
				Manual:   []string{"ip -br -4 addr show type bridge", "kubectl set env daemonset/calico-node -n kube-system IP_AUTODETECTION_METHOD=kubernetes-internal-ip"},
			},
			applies: func(c *config.Cluster) string {
				if c.Network.CNI.Name == config.CNICalico {
					return "slipway sets IP_AUTODETECTION_METHOD"
				}
				return expects("calico")(c)
			},
			run: eachHost(calicoInterface),
		},
		{
			Description: check.Description{
				Name: "checksum-offload", Title: "the kernel sends correct VXLAN checksums", Kind: check.Host, Severity: check.Warning,
				Examines: "The kernel's version, where the pod network is VXLAN.",
				Why:      "Kernels before 5.7 send wrong checksums for UDP over VXLAN with some drivers: DNS through Services times out.",
				Manual:   []string{"uname -r; ethtool -k flannel.1 | grep tx-checksum-ip-generic", "ethtool -K flannel.1 tx-checksum-ip-generic off"},
			},
			applies: func(c *config.Cluster) string {
				if c.Network.CNI.Backend != config.BackendVXLAN && !c.Expects("calico") {
					return "the pod network is not VXLAN"
				}
				return ""
			},
			run: eachHost(checksumOffload),
		},
		{
			Description: check.Description{
				Name: "cni-config", Title: "no other CNI configuration takes precedence", Kind: check.Host, Severity: check.Error,
				Examines: "The CNI configurations (.conf, .conflist, .json) in /etc/cni/net.d that are not of the inventory's pod network.",
				Why:      "containerd uses the first file by name, and any file until the pod network writes its own. The pods then get another network, or none.",
				Manual:   []string{"ls /etc/cni/net.d", "rm /etc/cni/net.d/FILE"},
			},
			applies: func(c *config.Cluster) string {
				if podNetworkConfig[c.Network.CNI.Name] == "" {
					return "slipway does not install the pod network"
				}
				return ""
			},
			run: cniConfig,
		},
	}
}

// podNetworkConfig has the name of the CNI configuration of each pod network.
var podNetworkConfig = map[string]string{
	config.CNIFlannel: path.Base(string(facts.FlannelConflist)),
	config.CNICalico:  path.Base(string(facts.CalicoConflist)),
}

// cniConfig reports configurations that come before that of the pod network, or any
// other one if the pod network has not written its own yet.
func cniConfig(cc *checkContext) []check.Finding {
	own := podNetworkConfig[cc.cluster.Network.CNI.Name]
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		var found []check.Finding
		for _, name := range f.CNIConfigs {
			last := name > own && slices.Contains(f.CNIConfigs, own)
			if name == own || last || installed(f) && partOfCluster(name) {
				continue
			}
			file := "/etc/cni/net.d/" + name
			found = append(found, check.Finding{
				Evidence: file + " is not of the pod network " + cc.cluster.Network.CNI.Name,
				Fix:      "rm " + file + "; or rename it, so that it has none of the suffixes .conf, .conflist and .json",
			})
		}
		return found
	})(cc)
}

// partOfCluster reports whether a configuration may belong to a running cluster: the
// check pod-network reports another pod network, and Multus calls the pod network.
func partOfCluster(name string) bool {
	return slices.Contains(slices.Collect(maps.Values(podNetworkConfig)), name) || strings.Contains(name, "multus")
}

// expects limits a check to inventories that expect one of the components.
func expects(components ...string) func(*config.Cluster) string {
	return func(c *config.Cluster) string {
		if slices.ContainsFunc(components, c.Expects) {
			return ""
		}
		return "not expected in the inventory: " + strings.Join(components, " or ")
	}
}

func firewall(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		for _, name := range firewalls(h.Facts()) {
			f := check.Finding{Host: h.Config.Name, Evidence: name + " is active", Fix: cc.openPorts(name, h.Config.Name) + cc.openVRRP(h.Config)}
			if cc.opens(h) {
				f.Severity = check.Info
				f.Evidence += ": slipway opens " + cc.opened(h.Config.Name)
				f.Fix = "nothing; or set `firewall: leave` for the host, and open it yourself: " + f.Fix
			}
			found = append(found, f)
			found = append(found, cc.rejectsPods(h, name)...)
		}
	}
	return found
}

// opens reports whether slipway opens the firewall of a host.
func (cc *checkContext) opens(h *workflow.Host) bool {
	return h.Facts() != nil && cc.cluster.ManagesFirewall(h.Config) && len(distro.ActiveFirewalls(h.Facts())) > 0
}

// opened lists what slipway opens on a host.
func (cc *checkContext) opened(host string) string {
	var all []string
	for _, c := range cc.connections() {
		if !slices.Contains(c.To, host) {
			continue
		}
		what := c.Protocol
		if c.First > 0 {
			what = fmt.Sprintf("%s %d", c.Protocol, c.First)
		}
		if c.Last > c.First {
			what += fmt.Sprintf("-%d", c.Last)
		}
		all = append(all, what)
	}
	if h := cc.host(host); h.Config.Has(config.RoleEtcd) {
		return strings.Join(all, ", ")
	}
	return strings.Join(all, ", ") + " and the ranges of pods and Services"
}

// rejectsPods says that firewalld rejects packets of other hosts to pods, if they are not
// encapsulated: its zones do not forward them, and a policy needs a reload.
func (cc *checkContext) rejectsPods(h *workflow.Host, name string) []check.Finding {
	routed := cc.cluster.Network.CNI.Backend == config.BackendHostGW || cc.cluster.Network.CNI.Backend == config.BackendBGP
	if name != "firewalld" || !routed || h.Config.Has(config.RoleEtcd) {
		return nil
	}
	policy := "firewall-cmd --permanent --policy=cluster-pods"
	return []check.Finding{{
		Host: h.Config.Name, Evidence: "firewalld rejects what other hosts send to pods of this host with the backend " + cc.cluster.Network.CNI.Backend + ": the API server does not reach webhooks",
		Fix: "use the backend vxlan; or after slipway apply: firewall-cmd --permanent --new-policy=cluster-pods && " + policy + " --add-ingress-zone=ANY && " + policy + " --add-egress-zone=trusted && " +
			policy + " --add-rich-rule='rule family=\"ipv4\" source address=\"NODE_IP\" accept' && firewall-cmd --reload    # a rule for each other host",
	}}
}

// openVRRP says that a control plane with keepalived also needs a protocol without ports.
func (cc *checkContext) openVRRP(h config.Host) string {
	if !usesKeepalived(cc.cluster) || !h.Has(config.RoleControlPlane) {
		return ""
	}
	return "; and accept IP protocol 112 (VRRP) from the other control planes"
}

// firewalls are those to configure. If ufw or firewalld is active, the rules of
// iptables and nftables are theirs.
func firewalls(f *facts.Facts) []string {
	var managers []string
	for _, fw := range distro.ActiveFirewalls(f) {
		managers = append(managers, fw.Name)
	}
	if len(managers) > 0 {
		return managers
	}
	return f.Firewalls
}

// openPorts returns the command that opens the ports that this cluster needs on a
// host.
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
	for _, h := range cc.reachable() {
		addr, err := h.NodeIP()
		if err != nil {
			continue
		}
		for _, a := range h.Facts().Addresses {
			if a.Dynamic && a.Prefix.Addr() == addr {
				found = append(found, check.Finding{
					Host:     h.Config.Name,
					Evidence: fmt.Sprintf("%s on %s is a DHCP lease", addr, a.Interface),
					Fix:      "reserve the address in the DHCP server, or configure a static address",
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
				Severity: check.Info, Evidence: fmt.Sprintf("the name server is %s (systemd-resolved)", f.Resolvers[i]),
				Fix: "nothing: kubeadm makes kubelet use /run/systemd/resolve/resolv.conf",
			}}
		default:
			return []check.Finding{{
				Evidence: fmt.Sprintf("the name server is %s, and systemd-resolved is not running: CoreDNS would query itself", f.Resolvers[i]),
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

// checksumsRight is the first kernel with correct checksums.
var checksumsRight = goversion.Must(goversion.NewVersion("5.7"))

func checksumOffload(_ config.Host, f *facts.Facts) []check.Finding {
	plain, _, _ := strings.Cut(f.Kernel, "-")
	kernel, err := goversion.NewVersion(plain)
	if err != nil || kernel.GreaterThanOrEqual(checksumsRight) {
		return nil
	}
	return []check.Finding{{
		Evidence: "kernel " + f.Kernel + " may send wrong UDP checksums over VXLAN",
		Fix:      "boot a kernel of 5.7 or later; or, after the installation: ethtool -K flannel.1 tx-checksum-ip-generic off",
	}}
}

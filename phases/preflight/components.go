package preflight

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// componentChecks are about the requirements of addons and expected components.
func componentChecks() []Check {
	storage := expects("longhorn")
	return []Check{
		{
			Description: check.Description{
				Name: "iscsid", Title: "the iSCSI daemon runs", Kind: check.Host, Severity: check.Error,
				Examines: "The unit iscsid and the initiator's name, where Longhorn is expected.",
				Why:      "Longhorn attaches volumes over iSCSI. Without the daemon it fails with \"can not connect to iSCSI daemon\".",
				Manual:   []string{"systemctl is-active iscsid; cat /etc/iscsi/initiatorname.iscsi", "apt-get install open-iscsi && systemctl enable --now iscsid    # iscsi-initiator-utils on RHEL-like systems"},
			},
			applies: storage, run: fixed(iscsid),
		},
		{
			Description: check.Description{
				Name: "iscsi-tcp", Title: "the kernel supports iSCSI over TCP", Kind: check.Host, Severity: check.Error,
				Examines: "The module iscsi_tcp, where Longhorn is expected.",
				Why:      "Minimal cloud kernels lack it, and Longhorn fails with \"could not find module iscsi_tcp\".",
				Manual:   []string{"modprobe -n -v iscsi_tcp", "echo iscsi_tcp > /etc/modules-load.d/longhorn.conf && modprobe iscsi_tcp"},
			},
			applies: storage, run: iscsiTCP,
		},
		{
			Description: check.Description{
				Name: "multipathd", Title: "multipathd ignores Longhorn's devices", Kind: check.Host, Severity: check.Error,
				Examines: "The unit multipathd and its configuration, where Longhorn is expected.",
				Why:      "multipathd claims the volumes, and mounting them fails with \"already mounted or mount point busy\".",
				Manual:   []string{"systemctl is-active multipathd; multipath -t | grep -A9 blacklist", "printf 'blacklist {\\n  devnode \"^sd[a-z0-9]+\"\\n}\\n' > /etc/multipath/conf.d/longhorn.conf && systemctl restart multipathd"},
			},
			applies: storage, run: fixed(multipathd),
		},
		{
			Description: check.Description{
				Name: "nfs-client", Title: "the host can mount NFS", Kind: check.Host, Severity: check.Warning,
				Examines: "The program mount.nfs, where Longhorn is expected.",
				Why:      "Volumes that several pods share are mounted over NFS.",
				Manual:   []string{"command -v mount.nfs", "apt-get install nfs-common    # nfs-utils on RHEL-like systems"},
			},
			applies: storage, run: fixed(nfsClient),
		},
		{
			Description: check.Description{
				Name: "replicas", Title: "enough nodes for the replicas", Kind: check.AllHosts, Severity: check.Warning,
				Examines: "The number of hosts that run workloads, where Longhorn is expected.",
				Why:      "Longhorn keeps three replicas on different nodes. With fewer nodes, volumes stay degraded.",
				Manual:   []string{"kubectl get nodes", "# Longhorn's setting: defaultReplicaCount"},
			},
			applies: storage, run: replicas,
		},
		{
			Description: check.Description{
				Name: "ports-80-443", Title: "ports 80 and 443 are not in use", Kind: check.Host, Severity: check.Error,
				Examines: "Listeners on ports 80 and 443, where an ingress is expected.",
				Why:      "Without these ports, clients cannot reach the ingress.",
				Manual:   []string{"ss -ltnp 'sport = :80 or sport = :443'", "systemctl disable --now apache2 nginx"},
			},
			applies: expects("ingress", "ingress-nginx"), run: eachHost(webPorts),
		},
		{
			Description: check.Description{
				Name: "ingress-nginx-retired", Title: "the ingress controller is maintained", Kind: check.AllHosts, Severity: check.Warning,
				Examines: "Whether ingress-nginx is expected.",
				Why:      "ingress-nginx is retired. It has had no fixes, not even for security, since March 2026.",
				Manual:   []string{"kubectl get pods -A -l app.kubernetes.io/name=ingress-nginx"},
			},
			applies: expects("ingress-nginx"), run: ingressRetired,
		},
		{
			Description: check.Description{
				Name: "lb-pool", Title: "the load balancer's addresses are not in use", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The pool against the addresses of all hosts, their networks and the cluster's ranges; and who answers ARP requests for its first 16 addresses.",
				Why:      "A pool with addresses of hosts makes them unreachable. A pool of another network is not announced to anyone.",
				Manual:   []string{"arping -D -c 2 -I INTERFACE ADDRESS"},
			},
			applies: expects("load-balancer"), run: loadBalancerPool,
		},
		{
			Description: check.Description{
				Name: "exclude-lb", Title: "a node announces the load balancer's addresses", Kind: check.AllHosts, Severity: check.Warning,
				Examines: "Whether any host is a worker only, where a load balancer is expected.",
				Why:      "kubeadm labels control planes node.kubernetes.io/exclude-from-external-load-balancers: MetalLB announces nothing from them.",
				Manual:   []string{"kubectl get nodes -l node.kubernetes.io/exclude-from-external-load-balancers", "kubectl label node NODE node.kubernetes.io/exclude-from-external-load-balancers-"},
			},
			applies: expects("load-balancer"), run: excludeLB,
		},
	}
}

// fixed lowers findings to Info where Longhorn is an addon of the inventory:
// apply fixes them itself.
func fixed(once func(config.Host, *facts.Facts) []check.Finding) func(*checkContext) []check.Finding {
	return func(cc *checkContext) []check.Finding {
		found := eachHost(once)(cc)
		if _, addon := cc.cluster.Addon(config.AddonLonghorn); !addon {
			return found
		}
		for i := range found {
			found[i].Severity, found[i].Fix = check.Info, "nothing: slipway apply does this: "+found[i].Fix
		}
		return found
	}
}

// install returns the command that installs a package on the host's distribution.
func install(f *facts.Facts, p distro.Package) string {
	family, err := distro.Of(f.OS)
	if err != nil {
		return "install " + string(p)
	}
	return family.Install(p)
}

func iscsid(_ config.Host, f *facts.Facts) []check.Finding {
	fix := install(f, distro.ISCSI) + " && systemctl enable --now iscsid"
	switch {
	case !f.Command("iscsiadm"):
		return []check.Finding{{Evidence: "iscsiadm is not installed", Fix: fix}}
	case !f.Active("iscsid.service", "iscsid.socket"):
		return []check.Finding{{Evidence: "iscsid does not run", Fix: "systemctl enable --now iscsid"}}
	case !f.Exists(facts.InitiatorName):
		return []check.Finding{{Evidence: "the host has no initiator name", Fix: "echo \"InitiatorName=$(iscsi-iname)\" > /etc/iscsi/initiatorname.iscsi && systemctl restart iscsid"}}
	}
	return nil
}

func iscsiTCP(cc *checkContext) []check.Finding {
	return cc.modules(func(module string) bool { return module == iscsiModule })
}

func multipathd(_ config.Host, f *facts.Facts) []check.Finding {
	if !f.Active("multipathd.service") || f.Software.MultipathBlacklist {
		return nil
	}
	return []check.Finding{{
		Evidence: "multipathd runs and claims every disk",
		Fix:      `printf 'blacklist {\n  devnode "^sd[a-z0-9]+"\n}\n' > /etc/multipath/conf.d/longhorn.conf && systemctl restart multipathd`,
	}}
}

func nfsClient(_ config.Host, f *facts.Facts) []check.Finding {
	if f.Command("mount.nfs") {
		return nil
	}
	return []check.Finding{{Evidence: "mount.nfs is not installed", Fix: install(f, distro.NFSClient)}}
}

// wantedReplicas is Longhorn's default.
const wantedReplicas = 3

func replicas(cc *checkContext) []check.Finding {
	// The addon sets the number of replicas to the number of nodes.
	_, addon := cc.cluster.Addon(config.AddonLonghorn)
	n := len(cc.cluster.Workers())
	if addon || n >= wantedReplicas {
		return nil
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("%d hosts run workloads, but Longhorn keeps %d replicas", n, wantedReplicas),
		Fix:      fmt.Sprintf("set Longhorn's defaultReplicaCount to %d, or add workers", max(n, 1)),
	}}
}

func webPorts(_ config.Host, f *facts.Facts) []check.Finding {
	found := portsUnseen(f)
	for _, listener := range f.Listeners {
		if listener.Port != 80 && listener.Port != 443 || listener.Process == netprobe.Program {
			continue
		}
		taken := check.Finding{
			Evidence: inUse(listener),
			Fix:      fmt.Sprintf("stop the process that listens there: ss -ltnp 'sport = :%d'", listener.Port),
		}
		// In a running cluster the listener may be the ingress.
		if installed(f) {
			taken.Severity, taken.Fix = check.Warning, "unless it is the cluster's ingress, "+taken.Fix
		}
		found = append(found, taken)
	}
	return found
}

func ingressRetired(*checkContext) []check.Finding {
	return []check.Finding{{
		Evidence: "the inventory uses ingress-nginx, which is retired",
		Fix:      "use another controller: the addon traefik, or one of the Gateway API",
	}}
}

func loadBalancerPool(cc *checkContext) []check.Finding {
	var found []check.Finding
	taken := func(host, evidence string) {
		found = append(found, check.Finding{Host: host, Evidence: evidence, Fix: "choose other addresses for the load balancer, outside the DHCP server's range"})
	}
	for _, pool := range cc.pools() {
		before := len(found)
		for _, h := range cc.reachable() {
			for _, a := range h.Facts().Addresses {
				if pool.Contains(a.Prefix.Addr()) {
					taken(h.Config.Name, fmt.Sprintf("the pool %s contains %s of %s", pool, a.Prefix.Addr(), h.Config.Name))
				}
			}
		}
		for _, r := range cc.ranges() {
			if pool.Overlaps(r.prefix) {
				taken("", fmt.Sprintf("the pool %s overlaps %s %s", pool, r.field, r.prefix))
			}
		}
		near := cc.onLink(pool.First) && cc.onLink(pool.Last)
		if len(found) == before && len(cc.reachable()) > 0 && !near {
			found = append(found, check.Finding{
				Severity: check.Warning,
				Evidence: fmt.Sprintf("no host has an interface in the network of the pool %s", pool),
				Fix:      "choose addresses in the network of the hosts, or route the pool to them",
			})
		}
	}
	if cc.matrix == nil {
		return found
	}
	for _, n := range cc.matrix.Neighbours {
		// In a running cluster, a node answers for the addresses that it announces.
		if cc.isNode(n.MAC) {
			continue
		}
		if slices.ContainsFunc(cc.pools(), func(r config.AddressRange) bool { return r.Contains(n.Address) }) && !cc.hasHost(n.Address) {
			taken(n.Node, fmt.Sprintf("%s already answers for %s", n.MAC, n.Address))
		}
	}
	return found
}

// isNode reports whether the interface belongs to a host of the cluster.
func (cc *checkContext) isNode(mac string) bool {
	return slices.ContainsFunc(cc.reachable(), func(h *workflow.Host) bool {
		return installed(h.Facts()) && slices.ContainsFunc(h.Facts().MACs, func(own string) bool { return strings.EqualFold(own, mac) })
	})
}

func excludeLB(cc *checkContext) []check.Finding {
	for _, h := range cc.cluster.Nodes() {
		if !h.Has(config.RoleControlPlane) {
			return nil
		}
	}
	return []check.Finding{{
		Evidence: "every host is a control plane, which kubeadm excludes from load balancing",
		Fix:      "kubectl label nodes --all node.kubernetes.io/exclude-from-external-load-balancers-",
	}}
}

package preflight

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// haproxyProgram is the process that owns the port of the endpoint.
const haproxyProgram = "haproxy"

// loadBalancerChecks are about the endpoint that slipway sets up.
func loadBalancerChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "endpoint-port", Title: "haproxy can have the port of the endpoint", Kind: check.Host, Severity: check.Error,
				Examines: "The processes that listen on the port of controlPlane.endpoint, and on port 10241, where haproxy tells keepalived its state.",
				Why:      "haproxy does not start if another process has one of its ports.",
				Manual:   []string{"ss -ltnp 'sport = :6443'"},
			},
			applies: onlyWhere((*config.Cluster).HAProxy, "slipway runs no haproxy for the endpoint"),
			run: func(cc *checkContext) []check.Finding {
				return eachHost(func(h config.Host, f *facts.Facts) []check.Finding { return endpointPort(cc.cluster, h, f) })(cc)
			},
		},
		{
			Description: check.Description{
				Name: "load-balancer-packages", Title: "the packages of the load balancer can be installed", Kind: check.AllHosts, Severity: check.Error,
				Examines: "haproxy and keepalived on the hosts that need them; where one is missing, whether a package repository of the host answers.",
				Why:      "slipway installs the packages of the distribution, which bundles do not contain.",
				Manual:   []string{"command -v haproxy keepalived", "apt-get update && apt-get install -y haproxy keepalived    # dnf install -y haproxy keepalived on RHEL-like systems"},
			},
			applies: onlyWhere((*config.Cluster).HAProxy, "slipway runs no haproxy for the endpoint"),
			run:     loadBalancerPackages,
		},
		{
			Description: check.Description{
				Name: "endpoint-address", Title: "the control planes can share the address of the endpoint", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The address of controlPlane.endpoint against the networks of the node addresses; before the installation, whether a host answers ARP requests for it.",
				Why:      "Other hosts reach a virtual address only in the network segment of its holder. If two hosts answer for it, connections break at random.",
				Manual:   []string{"ip -4 addr; arping -D -c 3 -I INTERFACE ADDRESS"},
			},
			measured: true, run: endpointAddress,
			applies: onlyWhere((*config.Cluster).VirtualIP, "the control planes share no address"),
		},
		{
			Description: check.Description{
				Name: "virtual-router-id", Title: "no other router has the virtual router ID", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The VRRP advertisements that arrive at the hosts in 1.5 s. Those that other routers send to single hosts are not among them.",
				Why:      "Routers with the same ID take each other for members of one group, and switches mix up their addresses.",
				Manual: []string{
					"tcpdump -ni INTERFACE 'ip proto 112'    # vrid is the ID",
					"firewall-cmd --permanent --add-protocol=vrrp && firewall-cmd --reload    # or: iptables -I INPUT -p 112 -j ACCEPT, between the control planes",
				},
			},
			measured: true, run: virtualRouterID,
			applies: onlyWhere(usesKeepalived, "the load balancer is not keepalived"),
		},
	}
}

func usesKeepalived(c *config.Cluster) bool {
	return c.ControlPlane.LoadBalancer.Type == config.LoadBalancerKeepalived
}

// onlyWhere is the applies of a check that other inventories do not need, for this reason.
func onlyWhere(wanted func(*config.Cluster) bool, reason string) func(*config.Cluster) string {
	return func(c *config.Cluster) string {
		if wanted(c) {
			return ""
		}
		return reason
	}
}

// otherBalancers names the types of load balancers without haproxy and keepalived, or
// with less of them, before the cluster is created.
func otherBalancers(c *config.Cluster) string {
	const external = "external (a load balancer of yours)"
	if usesKeepalived(c) {
		return "kube-vip, local (haproxy alone; the endpoint must be a name) or " + external
	}
	return external
}

// endpointPorts returns the ports of haproxy on a host.
func endpointPorts(c *config.Cluster, h config.Host) []int {
	if len(balancerPackages(c, h)) == 0 {
		return nil
	}
	ports := []int{c.EndpointPort()}
	if usesKeepalived(c) {
		ports = append(ports, config.HAProxyStatePort)
	}
	return ports
}

func endpointPort(c *config.Cluster, h config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	ports := endpointPorts(c, h)
	for _, l := range f.Listeners {
		// Another run may measure the network at the same moment.
		if !slices.Contains(ports, l.Port) || l.Process == haproxyProgram || l.Process == netprobe.Program {
			continue
		}
		fix := fmt.Sprintf("stop the process: ss -ltnp 'sport = :%d'", l.Port)
		if l.Port == c.EndpointPort() {
			fix += "; or choose another port of controlPlane.endpoint"
		} else {
			fix += "; or set controlPlane.loadBalancer.type to " + otherBalancers(c)
		}
		found = append(found, check.Finding{Evidence: inUse(l), Fix: fix})
	}
	return found
}

func loadBalancerPackages(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		missing := lacking(h.Facts(), balancerPackages(cc.cluster, h.Config))
		problem := cc.repositories[h.Config.Name]
		family, err := distro.Of(h.Facts().OS)
		if len(missing) == 0 || problem == "" || err != nil {
			continue
		}
		found = append(found, check.Finding{
			Host:     h.Config.Name,
			Evidence: fmt.Sprintf("%s not installed, and %s", isOrAre(family.Names(missing...)), problem),
			Fix: fmt.Sprintf("give the host access to its package mirror, or install them yourself: %s; or set controlPlane.loadBalancer.type to %s",
				family.Install(missing...), otherBalancers(cc.cluster)),
		})
	}
	return found
}

func isOrAre(packages []string) string {
	if len(packages) == 1 {
		return packages[0] + " is"
	}
	return names(packages) + " are"
}

func endpointAddress(cc *checkContext) []check.Finding {
	vip, err := netip.ParseAddr(cc.cluster.EndpointHost())
	if err != nil {
		return nil // the inventory is invalid
	}
	var found []check.Finding
	for _, h := range cc.reachable() {
		switch plane := h.Config.Has(config.RoleControlPlane); {
		case plane:
			own, err := h.NodeIP()
			if err != nil {
				continue // node-address reports it
			}
			if network, known := networkOf(h.Facts(), own); known && !network.Contains(vip) {
				found = append(found, check.Finding{
					Host:     h.Config.Name,
					Evidence: fmt.Sprintf("%s is not in the network %s of the node address", vip, network),
					Fix:      "choose a free address of that network as controlPlane.endpoint; if the control planes have no network in common, set controlPlane.loadBalancer.type to local (the endpoint must be a name) or external (a load balancer of yours)",
				})
			}
		case h.Facts().HasAddress(vip):
			found = append(found, check.Finding{
				Host: h.Config.Name, Evidence: fmt.Sprintf("the host has the address %s, and is no control plane", vip),
				Fix: "choose a free address as controlPlane.endpoint",
			})
		}
	}
	return append(found, cc.answers("choose a free address as controlPlane.endpoint, or turn off the host that has it")...)
}

// networkOf returns the network of an address of the host.
func networkOf(f *facts.Facts, own netip.Addr) (network netip.Prefix, known bool) {
	for _, a := range f.Addresses {
		if a.Prefix.Addr() == own {
			return a.Prefix.Masked(), true
		}
	}
	return netip.Prefix{}, false
}

// virtualRouterID reports other routers: the control planes have the ID of the
// inventory, and send from their node addresses.
func virtualRouterID(cc *checkContext) []check.Finding {
	own := cc.planeAddresses()
	id := cc.cluster.ControlPlane.LoadBalancer.VirtualRouterID
	var found []check.Finding
	for _, r := range cc.matrix.Routers {
		if r.ID != id || slices.Contains(own, r.Address) {
			continue
		}
		f := check.Finding{
			Host:     r.Node,
			Evidence: fmt.Sprintf("%s sends VRRP advertisements with the virtual router ID %d", r.Address, r.ID),
			Fix:      fmt.Sprintf("set controlPlane.loadBalancer.virtualRouterID to another one, from 1 to 255; in use here: %s; or set controlPlane.loadBalancer.type to %s", cc.routerIDs(), otherBalancers(cc.cluster)),
		}
		if name := cc.lostAt(r.Address); name != "" {
			f.Evidence = fmt.Sprintf("the lost host %s lives: %s", name, f.Evidence)
			f.Fix = fmt.Sprintf("turn the machine of %s off, since it may take the address of the endpoint; or, if another machine has its address now: %s", name, f.Fix)
		} else if u := cc.unlistedAt(r.Address); u != nil {
			// Another ID would let it and a control plane of the inventory hold the address.
			f.Evidence = fmt.Sprintf("%s is a control plane of the cluster and not in the inventory: %s", u, f.Evidence)
			f.Fix = u.Remedy()
			if !cc.addsControlPlane() {
				f.Severity = check.Warning // keepalived of the others knows it
			}
		}
		found = append(found, f)
	}
	return found
}

// lostAt returns the name of the lost host with the address; empty if there is none.
func (cc *checkContext) lostAt(address netip.Addr) string {
	for _, spec := range cc.cluster.Lost() {
		if slices.Contains(cc.sendAddresses(spec), address) {
			return spec.Name
		}
	}
	return ""
}

// unlistedAt returns the control plane with the address that was only deleted from the
// inventory; nil if there is none.
func (cc *checkContext) unlistedAt(address netip.Addr) *workflow.UnlistedControlPlane {
	for _, u := range cc.hosts.Unlisted(cc.cluster) {
		if slices.Contains(u.Addresses, address) {
			return &u
		}
	}
	return nil
}

// addsControlPlane reports whether a control plane is new, which an unlisted one does not
// know.
func (cc *checkContext) addsControlPlane() bool {
	return slices.ContainsFunc(cc.reachable(), func(h *workflow.Host) bool {
		return h.Config.Has(config.RoleControlPlane) && !cc.hosts.RunsAPIServer(h)
	})
}

// planeAddresses returns the addresses from which the control planes send, with those
// that leave the cluster.
func (cc *checkContext) planeAddresses() []netip.Addr {
	var all []netip.Addr
	for _, spec := range slices.Concat(cc.cluster.Hosts, cc.cluster.Absent()) {
		if spec.Has(config.RoleControlPlane) {
			all = append(all, cc.sendAddresses(spec)...)
		}
	}
	return all
}

// sendAddresses returns the addresses from which a host sends. One that was not read may
// run all the same: it has the address of its Node, or that of the inventory while its Node
// is unknown.
func (cc *checkContext) sendAddresses(spec config.Host) []netip.Addr {
	texts := []string{cmp.Or(spec.NodeIP, spec.Address)}
	if h := cc.observed(spec.Name); h != nil {
		if addr, err := h.NodeIP(); err == nil {
			texts = []string{addr.String()}
		}
	} else if node := cc.hosts.State().Node(spec.Name); node != nil {
		texts = node.Addresses
	}
	var all []netip.Addr
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			all = append(all, addr)
		}
	}
	return all
}

// routerIDs lists the IDs of the routers that were heard.
func (cc *checkContext) routerIDs() string {
	var ids []string
	for _, r := range cc.matrix.Routers {
		if id := strconv.Itoa(r.ID); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return names(ids)
}

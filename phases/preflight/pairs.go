package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
)

// The highest latency between two hosts. Kubernetes tolerates slow links; etcd's
// peers lose their leader (the default heartbeat is 100 ms).
const (
	slowLink  = 50 * time.Millisecond
	slowPeers = 10 * time.Millisecond
)

// Times of fdatasync beyond which etcd suffers (etcd's documentation recommends
// less than 10 ms in 99 of 100), and beyond which it loses its leader.
const (
	slowDisk    = 10 * time.Millisecond
	tooSlowDisk = 100 * time.Millisecond
)

// vxlanOverhead is what VXLAN over IPv4 adds to a packet, in bytes.
const vxlanOverhead = 50

// pairChecks evaluate what real packets measured between the hosts.
func pairChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "reachability", Title: "the hosts reach each other on the required ports", Kind: check.Pair, Severity: check.Error,
				Examines: "A real TCP connection or UDP answer from each host to every other host, on every port that this cluster needs.",
				Why:      "With a port blocked by a firewall, a cluster may install but have no DNS, logs or pod traffic.",
				Manual: []string{
					"nc -l PORT               # on the one host; nc -u for UDP",
					"nc -vz ADDRESS PORT      # on the other",
					"ufw allow PORT/tcp       # or: firewall-cmd --permanent --add-port=PORT/tcp && firewall-cmd --reload",
				},
			},
			measured: true, run: reached,
		},
		{
			Description: check.Description{
				Name: "mtu", Title: "packets of full size pass between the hosts", Kind: check.Pair, Severity: check.Error,
				Examines: "UDP packets with the don't-fragment bit, from the MTU of the interfaces down to the first size that arrives.",
				Why:      "If large packets are lost, ping works, but TLS and image pulls stall.",
				Manual:   []string{"ping -M do -s 1472 ADDRESS    # 1472 and 28 bytes of headers are 1500", "ip link show"},
			},
			measured: true, run: mtu,
			applies: func(c *config.Cluster) string {
				if c.Network.CNI.Name != config.CNIFlannel || c.Network.CNI.Backend != config.BackendVXLAN {
					return "the pod network is not slipway's VXLAN"
				}
				return ""
			},
		},
		{
			Description: check.Description{
				Name: "latency", Title: "the latency between the hosts is low", Kind: check.Pair, Severity: check.Warning,
				Examines: "The shortest round trip between each pair of hosts.",
				Why:      "Above 10 ms, etcd loses its leader under load. Above 50 ms, everything is slow.",
				Manual:   []string{"ping -c 10 ADDRESS"},
			},
			measured: true, run: latency,
		},
		{
			Description: check.Description{
				Name: "translated-address", Title: "no address translation between the hosts", Kind: check.Pair, Severity: check.Warning,
				Examines: "The source address under which each host sees the others.",
				Why:      "Kubernetes requires that nodes reach each other without NAT: policies, logs and VXLAN depend on addresses.",
				Manual:   []string{"iptables -t nat -S POSTROUTING; nft list ruleset"},
			},
			measured: true, run: translated,
		},
		{
			Description: check.Description{
				Name: "vip-taken", Title: "the endpoint's address is not in use", Kind: check.AllHosts, Severity: check.Warning,
				Examines: "Whether a host answers ARP requests for controlPlane.endpoint before the installation.",
				Why:      "If two hosts answer for a virtual address, connections break at random.",
				Manual:   []string{"arping -D -c 3 -I INTERFACE ADDRESS"},
			},
			measured: true, run: vipTaken,
			applies: func(c *config.Cluster) string {
				if c.ControlPlane.Endpoint == "" {
					return "the inventory has no controlPlane.endpoint"
				}
				if c.VirtualIP() {
					return "the check endpoint-address examines it"
				}
				return ""
			},
		},
		{
			Description: check.Description{
				Name: "disk-latency", Title: "the disk is fast enough for etcd", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The time of fdatasync after small writes below /var/lib of each control plane without a cluster.",
				Why:      "etcd waits for the disk with every change: it is slow above 10 ms, and loses its leader above 100 ms.",
				Manual:   []string{"fio --rw=write --ioengine=sync --fdatasync=1 --directory=/var/lib --size=2m --bs=2300 --name=etcd"},
			},
			measured: true, run: diskLatency,
		},
	}
}

// reached has a finding for each port of a host that others do not reach.
func reached(cc *checkContext) []check.Finding {
	found := absent(cc)
	for _, need := range cc.matrix.Needs {
		for _, to := range need.To {
			byStatus := map[netprobe.Status][]netprobe.Link{}
			var order []netprobe.Status
			for _, link := range cc.matrix.Links {
				if link.To != to || link.Port != need.Port || link.Protocol != need.Protocol || link.Status == netprobe.Reached {
					continue
				}
				if byStatus[link.Status] == nil {
					order = append(order, link.Status)
				}
				byStatus[link.Status] = append(byStatus[link.Status], link)
			}
			for _, status := range order {
				if f, bad := cc.unreached(need, to, status, byStatus[status]); bad {
					found = append(found, f)
				}
			}
		}
	}
	return found
}

func absent(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, name := range cc.hosts.Names() {
		if why := cc.matrix.Absent[name]; why != "" {
			found = append(found, check.Finding{
				Host: name, Severity: check.Unknown,
				Evidence: "the probe did not run: " + why,
				Fix:      "check that root can run programs from /run, /var/tmp or /tmp on " + name,
			})
		}
	}
	return found
}

func (cc *checkContext) unreached(need netprobe.Need, to string, status netprobe.Status, links []netprobe.Link) (check.Finding, bool) {
	var from []string
	for _, link := range links {
		from = append(from, link.From)
	}
	f := check.Finding{Host: to, Peer: strings.Join(from, ", ")}
	what := fmt.Sprintf("%s %d (%s)", need.Protocol, need.Port, need.Use)
	switch status {
	case netprobe.Occupied:
		if m := cc.host(to); m != nil && installed(m.Facts()) {
			return f, false // our own cluster listens there
		}
		f.Severity = check.Unknown
		f.Evidence = what + " could not be tested: the port is in use on the host"
		f.Fix = fmt.Sprintf("find the process: ss -lnp 'sport = :%d'", need.Port)
	case netprobe.Elsewhere:
		f.Evidence = fmt.Sprintf("%s: another host answers %s: %s", what, names(from), links[0].Detail)
		f.Fix = "give each host a unique address: ip -4 addr"
	default:
		f.Evidence = fmt.Sprintf("%s is unreachable from %s: %s", what, names(from), status)
		var ways []string
		for _, firewall := range distro.Firewalls() {
			ways = append(ways, firewall.Open(distro.Port{Number: fmt.Sprint(need.Port), Protocol: string(need.Protocol)}))
		}
		f.Fix = fmt.Sprintf("open it on %s: %s; and in any firewall between the hosts", to, strings.Join(ways, ", or: "))
		if h := cc.host(to); h != nil && cc.opens(h) {
			// The phase firewall-check measures it again.
			f.Severity = check.Info
			f.Fix = fmt.Sprintf("nothing: slipway opens the firewall of %s; a firewall between the hosts must allow it, too", to)
		}
	}
	return f, true
}

func mtu(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, p := range cc.matrix.Paths {
		inner := cc.cluster.Network.CNI.MTU
		fits := p.MTU >= p.Wanted || inner != 0 && inner+vxlanOverhead <= p.MTU
		if p.MTU == 0 || fits {
			continue
		}
		found = append(found, check.Finding{
			Host: p.To, Peer: p.From,
			Evidence: fmt.Sprintf("from %s, packets of %d bytes are lost; up to %d bytes pass", p.From, p.Wanted, p.MTU),
			Fix:      fmt.Sprintf("set in the inventory: network.cni.mtu: %d, or raise the MTU of the network between the hosts", cc.smallestMTU()-vxlanOverhead),
		})
	}
	return found
}

// smallestMTU is the smallest of all paths: the setting applies to all nodes.
func (cc *checkContext) smallestMTU() int {
	least := 0
	for _, p := range cc.matrix.Paths {
		if p.MTU > 0 && (least == 0 || p.MTU < least) {
			least = p.MTU
		}
	}
	return least
}

func latency(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, p := range cc.matrix.Paths {
		from, to := cc.host(p.From), cc.host(p.To)
		limit := slowLink
		if from != nil && to != nil && cc.isMember(from.Config.Name) && cc.isMember(to.Config.Name) {
			limit = slowPeers
		}
		if p.RoundTrip > limit {
			found = append(found, check.Finding{
				Host: p.To, Peer: p.From,
				Evidence: fmt.Sprintf("the round trip from %s takes %s; the limit is %s", p.From, p.RoundTrip.Round(100*time.Microsecond), limit),
				Fix:      "place the hosts closer together; for distant control planes raise etcd's heartbeat-interval and election-timeout",
			})
		}
	}
	return found
}

func translated(cc *checkContext) []check.Finding {
	var found []check.Finding
	var seen []string
	for _, link := range cc.matrix.Links {
		m := cc.host(link.From)
		if m == nil || !link.SeenAs.IsValid() {
			continue
		}
		addr, err := m.NodeIP()
		pair := link.From + " " + link.To
		if err != nil || link.SeenAs == addr || slices.Contains(seen, pair) {
			continue
		}
		seen = append(seen, pair)
		found = append(found, check.Finding{
			Host: link.To, Peer: link.From,
			Evidence: fmt.Sprintf("%s sees %s as %s, not as %s", link.To, link.From, link.SeenAs, addr),
			Fix:      "set nodeIP to an address that the hosts reach without translation, or remove the masquerading between them",
		})
	}
	return found
}

func vipTaken(cc *checkContext) []check.Finding {
	return cc.answers("nothing, if this is your load balancer; otherwise choose an unused controlPlane.endpoint")
}

// answers reports a host that answered for the address of the endpoint.
func (cc *checkContext) answers(fix string) []check.Finding {
	vip, ok := cc.virtualAddress()
	if !ok {
		return nil
	}
	for _, n := range cc.matrix.Neighbours {
		if n.Address == vip {
			return []check.Finding{{
				Host:     n.Node,
				Evidence: fmt.Sprintf("%s already answers for %s", n.MAC, vip),
				Fix:      fix,
			}}
		}
	}
	return nil
}

func diskLatency(cc *checkContext) []check.Finding {
	var found []check.Finding
	for _, d := range cc.matrix.Disks {
		f := check.Finding{Host: d.Node, Fix: "put /var/lib/etcd on a local SSD, or give the virtual machine a faster disk"}
		switch {
		case d.Error != "":
			f.Severity, f.Evidence = check.Unknown, d.Path+": "+d.Error
		case d.P99 > tooSlowDisk:
			f.Evidence = fmt.Sprintf("fdatasync below %s takes up to %s (99 of 100); etcd loses its leader above %s", d.Path, d.P99.Round(time.Millisecond), tooSlowDisk)
		case d.P99 > slowDisk:
			f.Severity = check.Warning
			f.Evidence = fmt.Sprintf("fdatasync below %s takes up to %s (99 of 100); etcd recommends less than %s", d.Path, d.P99.Round(100*time.Microsecond), slowDisk)
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}

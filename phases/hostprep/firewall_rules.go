package hostprep

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// anyone is the source of a rule for all addresses.
const anyone = "any"

// firewallRules are the rules of a host, as the scripts take them, in an order that
// depends on nothing but their text.
func firewallRules(s *workflow.Step) []string {
	var hosts []config.Host
	addresses := map[string]netip.Addr{}
	for _, h := range s.Hosts().WithLeaving().All {
		if addr, ok := firewallAddress(s.Hosts(), h); ok {
			hosts = append(hosts, h.Config)
			addresses[h.Config.Name] = addr
		}
	}
	own := s.Target.Config
	if len(addresses) == 0 || !addresses[own.Name].IsValid() {
		hosts = append(hosts, own)
	}
	var rules []string
	if !own.Has(config.RoleEtcd) {
		rules = append(rules, "pods "+s.Cluster().Network.PodSubnet, "services "+s.Cluster().Network.ServiceSubnet)
	}
	return append(rules, portRules(s.Cluster().Connections(hosts), own.Name, addresses)...)
}

// firewallAddress returns the address from which a host connects to others. ok is false
// for a host that has left the cluster.
func firewallAddress(hosts *workflow.Hosts, h *workflow.Host) (addr netip.Addr, ok bool) {
	if f := h.Facts(); f != nil {
		addr, err := h.NodeIP()
		return addr, err == nil && (h.Config.Stays() || f.Exists(facts.Journal))
	}
	// It cannot be reached now. The others still let it in.
	node := hosts.State().Node(h.Config.Name)
	if !h.Config.Stays() && node == nil {
		return addr, false
	}
	text := cmp.Or(h.Config.NodeIP, h.Config.Address)
	if node != nil && len(node.Addresses) > 0 {
		text = node.Addresses[0]
	}
	addr, err := netip.ParseAddr(text)
	return addr, err == nil
}

// portRules returns what a host accepts: "SOURCE PROTOCOL PORTS", one rule for each source
// and protocol.
func portRules(connections []config.Connection, own string, addresses map[string]netip.Addr) []string {
	type sender struct{ source, protocol string }
	ports := map[sender][]config.Connection{}
	for _, c := range connections {
		if !slices.Contains(c.To, own) {
			continue
		}
		if c.Anyone {
			to := sender{anyone, c.Protocol}
			ports[to] = append(ports[to], c)
			continue
		}
		for _, from := range c.From {
			if addr := addresses[from]; from != own && addr.IsValid() {
				to := sender{addr.String(), c.Protocol}
				ports[to] = append(ports[to], c)
			}
		}
	}
	var rules []string
	for to, accepted := range ports {
		rules = append(rules, fmt.Sprintf("%s %s %s", to.source, to.protocol, portList(accepted)))
	}
	slices.Sort(rules)
	return rules
}

// portList is a list such as 80,443,30000:32767, in ascending order as ufw prints it; "-"
// for a protocol without ports.
func portList(connections []config.Connection) string {
	slices.SortFunc(connections, func(a, b config.Connection) int { return cmp.Or(a.First-b.First, a.Last-b.Last) })
	var all []string
	for _, c := range connections {
		switch {
		case c.First == 0:
			return "-"
		case c.First == c.Last:
			all = append(all, strconv.Itoa(c.First))
		default:
			all = append(all, fmt.Sprintf("%d:%d", c.First, c.Last))
		}
	}
	return strings.Join(slices.Compact(all), ",")
}

package hostprep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/workflow"
)

// FirewallCheck sends packets to the hosts whose firewalls slipway has opened, before a
// host joins.
func FirewallCheck() workflow.Phase { return firewallCheck(netprobe.Probe) }

// prober is netprobe.Probe.
type prober func(context.Context, []netprobe.Node, []netprobe.Need, netprobe.Options) (*netprobe.Matrix, error)

func firewallCheck(probe prober) workflow.Phase {
	return workflow.Phase{
		Name:  "firewall-check",
		Title: "send packets through the opened firewalls",
		Why: "Preflight cannot tell whether a port is closed by the firewall of the host, which slipway opens, or by another one. " +
			"A rule that denies may also come before those that slipway added.",
		Manual: []string{
			"nc -l PORT               # on the one host; nc -u for UDP",
			"nc -vz ADDRESS PORT      # on the other",
			"firewall-cmd --list-all-zones; ufw status numbered; nft list ruleset",
		},
		On:       workflow.Localhost,
		NeedsAll: []string{"firewall"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return s.Planning() || !joins(s.Hosts()) || len(openedHosts(s)) == 0, nil
		},
		Do: func(ctx context.Context, s *workflow.Step) error { return checkFirewalls(ctx, s, probe) },
	}
}

// joins reports whether a host is to become a node: on hosts of a cluster, its own
// programs have the ports.
func joins(hosts *workflow.Hosts) bool {
	return slices.ContainsFunc(hosts.Nodes(), func(h *workflow.Host) bool { return h.Facts() != nil && !h.Facts().Joined() })
}

// openedHosts returns the names of the hosts whose active firewall slipway opens.
func openedHosts(s *workflow.Step) []string {
	var names []string
	for _, h := range s.Hosts().All {
		if f := h.Facts(); f != nil && s.Selected(h) && s.Cluster().ManagesFirewall(h.Config) && len(distro.ActiveFirewalls(f)) > 0 {
			names = append(names, h.Config.Name)
		}
	}
	return names
}

func checkFirewalls(ctx context.Context, s *workflow.Step, probe prober) error {
	var hosts []config.Host
	var nodes []netprobe.Node
	for _, h := range s.Hosts().All {
		hosts = append(hosts, h.Config)
		f := h.Facts()
		if f == nil || h.Unreachable() != nil {
			continue
		}
		addr, err := h.NodeIP()
		if err != nil {
			return err
		}
		nodes = append(nodes, netprobe.Node{Name: h.Config.Name, Host: h.Conn, Arch: f.Arch, IP: addr, MTU: f.MTU(addr)})
	}
	opened := openedHosts(s)
	needs := netprobe.Needs(s.Cluster().Connections(hosts))
	for i, need := range needs {
		needs[i].To = slices.DeleteFunc(slices.Clone(need.To), func(name string) bool { return !slices.Contains(opened, name) })
	}
	matrix, err := probe(ctx, nodes, needs, netprobe.Options{})
	if err != nil {
		return err
	}
	var closed []string
	for _, link := range matrix.Links {
		if link.Status == netprobe.Refused || link.Status == netprobe.TimedOut {
			closed = append(closed, fmt.Sprintf("%s %d on %s from %s: %s", link.Protocol, link.Port, link.To, link.From, link.Status))
		}
	}
	if len(closed) == 0 {
		return nil
	}
	return workflow.WithHint(errors.New("closed although slipway has opened the firewall: "+strings.Join(closed, "; ")),
		"find the rule that denies, with `firewall-cmd --list-all-zones`, `ufw status numbered` or `nft list ruleset`, and look for a firewall between the hosts")
}

package localhost

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
)

// Route is a destination of the routing table and its interface.
type Route struct {
	Destination netip.Prefix
	Interface   string
}

func (f *Facts) readRoutes(ctx context.Context, sys System) {
	switch f.OS {
	case "linux":
		if out, err := sys.Run(ctx, "ip", "-4", "route", "show", "table", "all"); err == nil {
			f.Routes = linuxRoutes(out)
		}
	case "darwin":
		if out, err := sys.Run(ctx, "netstat", "-rn", "-f", "inet"); err == nil {
			f.Routes = bsdRoutes(out)
		}
	case "windows":
		if out, err := sys.Run(ctx, "powershell", "-NoProfile", "-Command",
			"Get-NetRoute -AddressFamily IPv4 | ForEach-Object { \"$($_.DestinationPrefix) $($_.InterfaceAlias)\" }"); err == nil {
			f.Routes = pairs(out)
		}
	}
}

// linuxRoutes parses the output of `ip route` without the local table, which has
// the computer's own and broadcast addresses.
func linuxRoutes(text string) []Route {
	var all []Route
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.Contains(line, "table local") {
			continue
		}
		r := Route{}
		for i := range len(words) - 1 {
			if words[i] == "dev" {
				r.Interface = words[i+1]
			}
		}
		if prefix, ok := prefixOf(words[0]); ok {
			r.Destination = prefix
			all = append(all, r)
		}
	}
	return all
}

// bsdRoutes parses the output of `netstat -rn`, which abbreviates 10.0.0.0/8 to 10.
func bsdRoutes(text string) []Route {
	var all []Route
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 4 {
			continue
		}
		base, bits, _ := strings.Cut(words[0], "/")
		dots := strings.Count(base, ".")
		if dots > 3 || base == "" || base[0] < '0' || base[0] > '9' {
			continue
		}
		if bits == "" {
			bits = strconv.Itoa(8 * (dots + 1))
		}
		if prefix, ok := prefixOf(base + strings.Repeat(".0", 3-dots) + "/" + bits); ok {
			all = append(all, Route{prefix, words[3]})
		}
	}
	return all
}

// pairs parses lines of a prefix and an interface.
func pairs(text string) []Route {
	var all []Route
	for line := range strings.Lines(text) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if prefix, ok := prefixOf(first); ok {
			all = append(all, Route{prefix, rest})
		}
	}
	return all
}

func prefixOf(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

// hostOnly parses VirtualBox's networks.conf: lines "* 192.168.56.0/21 ...".
func hostOnly(text string) []netip.Prefix {
	all := []netip.Prefix{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "*" {
			continue
		}
		for _, word := range words[1:] {
			if prefix, err := netip.ParsePrefix(word); err == nil {
				all = append(all, prefix)
			}
		}
	}
	return all
}

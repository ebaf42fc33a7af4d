package distro

import (
	"slices"
	"strings"

	"slipway.io/slipway/provision/host/facts"
)

// Firewall is a program that manages the packet filter of the host.
type Firewall struct {
	// Name of the program.
	Name string
	// Script is a path below templates. It opens the firewall for a cluster and closes
	// it again.
	Script string
	// unit is the systemd unit that is active if the firewall is. Empty for ufw,
	// whose unit is always active: see facts.Facts.Firewalls.
	unit string
	// open is the command that opens a port; between separates the first and the
	// last port of a range.
	open, between string
	// reload is the command that applies the changes; empty if they apply at once.
	reload string
}

// Firewalls are those of all families.
func Firewalls() []Firewall {
	var all []Firewall
	for _, f := range families() {
		all = append(all, f.Firewall)
	}
	return all
}

// ActiveFirewalls are those that filter packets on a host.
func ActiveFirewalls(f *facts.Facts) []Firewall {
	return slices.DeleteFunc(Firewalls(), func(fw Firewall) bool {
		return !slices.Contains(f.Firewalls, fw.Name) && (fw.unit == "" || !f.Active(fw.unit))
	})
}

// FirewallOf returns the firewall of that name.
func FirewallOf(name string) (Firewall, bool) {
	all := Firewalls()
	i := slices.IndexFunc(all, func(f Firewall) bool { return f.Name == name })
	if i < 0 {
		return Firewall{}, false
	}
	return all[i], true
}

// Port is a port or a range of ports.
type Port struct {
	// Number is "6443", or "30000:32767" for a range.
	Number string
	// Protocol is tcp or udp.
	Protocol string
}

// Open returns the command that opens the ports; empty without ports.
func (f Firewall) Open(ports ...Port) string {
	var commands []string
	for _, p := range ports {
		commands = append(commands, f.open+strings.Replace(p.Number, ":", f.between, 1)+"/"+p.Protocol)
	}
	if f.reload != "" && len(commands) > 0 {
		commands = append(commands, f.reload)
	}
	return strings.Join(commands, " && ")
}

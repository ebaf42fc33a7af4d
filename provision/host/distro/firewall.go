package distro

import (
	"slices"
	"strings"
)

// Firewall is what the members of a family manage their packet filter with.
type Firewall struct {
	// Name of the program.
	Name string
	// Unit is the systemd unit that is active if it filters; empty where a unit
	// does not say so, as ufw's, which facts.Facts.Firewalls has if it filters.
	Unit string
	// open is the command that lets a port in; between separates the first
	// and the last of several ports.
	open, between string
	// reload is the command that makes all of that count; empty if it does.
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

// FirewallOf finds one by its name.
func FirewallOf(name string) (Firewall, bool) {
	all := Firewalls()
	i := slices.IndexFunc(all, func(f Firewall) bool { return f.Name == name })
	if i < 0 {
		return Firewall{}, false
	}
	return all[i], true
}

// Port is one that is to be let in, or several.
type Port struct {
	// Number is "6443", or "30000:32767" for all between.
	Number string
	// Protocol is tcp or udp.
	Protocol string
}

// Open is the command by which a person lets ports in.
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

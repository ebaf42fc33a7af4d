// Package distro knows how families of Linux distributions differ: a small
// file each.
package distro

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host/facts"
)

// Package is what a host needs, whatever a distribution calls it.
type Package string

// The packages.
const (
	// ISCSI has iscsiadm and the unit iscsid.
	ISCSI Package = "iscsi"
	// NFSClient has mount.nfs.
	NFSClient Package = "nfs-client"
	// Kmod has modprobe.
	Kmod Package = "kmod"
	// IPRoute has ip and ss.
	IPRoute Package = "iproute"
	// Tar has tar.
	Tar Package = "tar"
)

// Family are distributions that share their package manager and their names.
type Family struct {
	// Name is that of the oldest member.
	Name string
	// Script, below templates, installs the packages that are its arguments.
	Script string
	// ids are the members, as ID or ID_LIKE in /etc/os-release has them.
	ids []string
	// install and hold are the command lines that a person would use.
	install, hold string
	packages      map[Package]string
	// Firewall is the one that its members come with.
	Firewall Firewall
}

func families() []Family { return []Family{debian(), redHat()} }

// Of is the family of a distribution; an unknown one is an error with the
// list of known ones.
func Of(os facts.OS) (Family, error) {
	var known []string
	for _, f := range families() {
		if slices.Contains(f.ids, os.ID) || slices.ContainsFunc(os.Like, func(like string) bool { return slices.Contains(f.ids, like) }) {
			return f, nil
		}
		known = append(known, f.ids...)
	}
	return Family{}, fmt.Errorf("the distribution %q is not known: use one of %s, or one like them (ID_LIKE in /etc/os-release)", os.ID, strings.Join(known, ", "))
}

// Names are what the family calls the packages.
func (f Family) Names(packages ...Package) []string {
	var names []string
	for _, p := range packages {
		names = append(names, f.packages[p])
	}
	return names
}

// Hold is the command by which a person keeps packages, by the family's names,
// from being upgraded.
func (f Family) Hold(names ...string) string { return f.hold + " " + strings.Join(names, " ") }

// Install is the command by which a person installs the packages.
func (f Family) Install(packages ...Package) string {
	return f.install + " " + strings.Join(f.Names(packages...), " ")
}

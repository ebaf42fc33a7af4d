// Package distro holds the differences between families of Linux distributions,
// one file for each family.
package distro

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
)

// Package is a package that hosts need. Its name differs between families.
type Package string

// The packages.
const (
	// ISCSI contains iscsiadm and the unit iscsid.
	ISCSI Package = "iscsi"
	// NFSClient contains mount.nfs.
	NFSClient Package = "nfs-client"
	// Kmod contains modprobe.
	Kmod Package = "kmod"
	// IPRoute contains ip and ss.
	IPRoute Package = "iproute"
	// Tar has tar.
	Tar Package = "tar"
	// HAProxy has haproxy.
	HAProxy Package = "haproxy"
	// Keepalived has keepalived.
	Keepalived Package = "keepalived"
	// Restorecon contains restorecon, which hosts with SELinux need.
	Restorecon Package = "restorecon"
)

// Family is a group of distributions with the same package manager and the same
// package names.
type Family struct {
	// Name is the ID of the distribution that the others derive from.
	Name string
	// Script is a path below templates. It installs the packages in its arguments.
	Script string
	// ids are the distributions, as in ID and ID_LIKE of /etc/os-release.
	ids []string
	// install and hold are the commands that messages suggest to people.
	install, hold string
	// unlock ends the programs that upgrade packages in the background.
	unlock   string
	packages map[Package]string
	// moreModules is the name of the package with the modules that the default packages of
	// the kernel leave out, without the release of the kernel; empty if there is none.
	moreModules string
	// Firewall is the default firewall of the distributions.
	Firewall Firewall
}

func families() []Family { return []Family{debian(), redHat()} }

// Of returns the family of a distribution. The error for an unknown one lists
// the known ones.
func Of(os facts.OS) (Family, error) {
	var known []string
	for _, f := range families() {
		if slices.Contains(f.ids, os.ID) || slices.ContainsFunc(os.Like, func(like string) bool { return slices.Contains(f.ids, like) }) {
			return f, nil
		}
		known = append(known, f.ids...)
	}
	return Family{}, fmt.Errorf("unsupported distribution %q: use one of %s, or a derivative (ID_LIKE in /etc/os-release)", os.ID, strings.Join(known, ", "))
}

// Names returns the family's names of the packages.
func (f Family) Names(packages ...Package) []string {
	var names []string
	for _, p := range packages {
		names = append(names, f.packages[p])
	}
	return names
}

// MoreModules returns the package with the modules that the default packages of a kernel
// leave out, for exactly that kernel (uname -r); empty if the family has none.
func (f Family) MoreModules(kernel string) string {
	if f.moreModules == "" {
		return ""
	}
	// Variants of the kernel end in their name, "+rt" or "+64k", which their packages have
	// after "kernel".
	release, variant, found := strings.Cut(kernel, "+")
	if found {
		variant = "-" + variant
	}
	return fmt.Sprintf(f.moreModules, variant) + "-" + release
}

// InstallNames returns the command that installs packages. The names are the family's.
func (f Family) InstallNames(names ...string) string {
	return f.install + " " + strings.Join(names, " ")
}

// packagesLocked is the exit code of the scripts packages-*.sh if other programs held the
// locks of the package manager for too long (EX_TEMPFAIL of sysexits.h).
const packagesLocked = 75

// Remedy returns what people do after the installation of packages has failed. The names
// are the family's.
func (f Family) Remedy(err error, names ...string) string {
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == packagesLocked {
		return "wait until that program has ended, or end it: " + f.unlock + "; then rerun"
	}
	return "give the host access to its package mirror, or install the packages yourself: " + f.InstallNames(names...)
}

// Hold returns the command that excludes packages from upgrades. The names are
// the family's.
func (f Family) Hold(names ...string) string { return f.hold + " " + strings.Join(names, " ") }

// Install returns the command that installs the packages.
func (f Family) Install(packages ...Package) string {
	return f.InstallNames(f.Names(packages...)...)
}

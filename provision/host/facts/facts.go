// Package facts is what a host looks like: read once at the start of a run,
// by one script in one round trip, and never written.
package facts

import (
	"net/netip"
	"slices"
	"time"
)

// Facts of one host.
type Facts struct {
	// Hostname as the kernel has it; Arch as Go and Kubernetes call it
	// (amd64, arm64); Kernel is uname -r.
	Hostname, Arch, Kernel string
	OS                     OS
	// CPUs is the number online, MemoryMiB the total.
	CPUs, MemoryMiB int
	// CgroupVersion is 1 or 2, by the file system of /sys/fs/cgroup.
	CgroupVersion int
	// SELinux is enforcing or permissive; empty where it is not there or off.
	SELinux string
	// Init is the name of process 1: systemd on every supported host.
	Init string
	// MachineID, ProductUUID and MACs tell hosts apart.
	MachineID, ProductUUID string
	MACs                   []string
	// Skew is how far the host's clock is ahead of localhost's, give or
	// take half the round trip.
	Skew time.Duration

	Addresses []Address
	Routes    []Route
	Resolvers []netip.Addr

	Swap Swap
	// Modules are loaded or built in; Loadable ones modprobe would find.
	Modules, Loadable []string
	// Sysctls holds the values of those settings that the kernel has; see Sysctl.
	Sysctls map[Sysctl]string
	// Disks holds the free space of each path that an installation fills.
	Disks []Disk
	// Listeners are the TCP ports that something listens on.
	Listeners []Listener
	// CRISockets are the sockets of container runtimes that exist.
	CRISockets []string
	// Existing are the paths that exist; see Exists.
	Existing []Path
	// Commands are those of the needed programs that are on the PATH.
	Commands []string

	// Missing are those of the programs that the facts are read with.
	Missing []string

	// MTUs are those of the interfaces, in bytes, by name; Bridges the names of
	// those that are one.
	MTUs    map[string]int
	Bridges []string
	// Loopback are the names of the host that /etc/hosts has on an address
	// of the loopback: "127.0.1.1 node-1".
	Loopback []string
	// Firewalls are those that are active: ufw, and iptables or chains of
	// nftables ("nftables inet filter input") that drop what nobody let in.
	// firewalld is among ActiveUnits.
	Firewalls []string
	// MaxSessions is the setting of sshd; 0 if unknown.
	MaxSessions int
	// ActiveUnits are those of the units that checks ask for.
	ActiveUnits []string
	// Software is what is installed already.
	Software Software
}

// OS is the distribution, from /etc/os-release.
type OS struct {
	// ID is debian, ubuntu, rocky, …; Like the families in ID_LIKE.
	ID, Version, Name string
	Like              []string
}

// Address is an address of an interface.
type Address struct {
	Interface string
	Prefix    netip.Prefix
	// Dynamic: it was leased, and may change.
	Dynamic bool
}

// Route is an entry of the main IPv4 routing table.
type Route struct {
	// Destination is 0.0.0.0/0 for the default route.
	Destination netip.Prefix
	Interface   string
	// Source is the preferred source address; invalid where none is set.
	Source netip.Addr
}

// Swap is everything that turns swap on, now or at the next boot.
type Swap struct {
	// Active are the devices and files in /proc/swaps, Fstab the first fields
	// of /etc/fstab's swap lines, Units the systemd units that are loaded.
	Active, Fstab, Units []string
	// Zram are the configuration files of zram-generator.
	Zram []string
}

// Off says whether nothing turns swap on.
func (s Swap) Off() bool {
	return len(s.Active) == 0 && len(s.Fstab) == 0 && len(s.Units) == 0 && len(s.Zram) == 0
}

// Disk is the file system that holds a path, or would.
type Disk struct {
	Path, MountPoint string
	// SizeMiB and FreeMiB are what an unprivileged process may use.
	SizeMiB, FreeMiB int
	// Inodes and FreeInodes are 0 on a file system that does not count them.
	Inodes, FreeInodes int
	// ReadOnly: not even root can write there. NoExec: nothing there can be
	// run.
	ReadOnly, NoExec bool
}

// Listener is a listening TCP port.
type Listener struct {
	Port int
	// Process is the program's name; empty if it cannot be seen.
	Process string
}

// Module says whether the kernel has the module now.
func (f *Facts) Module(name string) bool { return slices.Contains(f.Modules, name) }

// Command says whether the program is on the PATH.
func (f *Facts) Command(name string) bool { return slices.Contains(f.Commands, name) }

// Lacks says whether facts could not be read for want of the program.
func (f *Facts) Lacks(program string) bool { return slices.Contains(f.Missing, program) }

// DefaultAddress is the host's IPv4 address on its default route; invalid
// if there is no such route.
func (f *Facts) DefaultAddress() netip.Addr {
	for _, r := range f.Routes {
		if r.Destination.Bits() != 0 {
			continue
		}
		if r.Source.IsValid() {
			return r.Source
		}
		for _, a := range f.Addresses {
			if a.Interface == r.Interface && a.Prefix.Addr().Is4() {
				return a.Prefix.Addr()
			}
		}
	}
	return netip.Addr{}
}

// Active says whether one of the units is.
func (f *Facts) Active(units ...string) bool {
	return slices.ContainsFunc(units, func(u string) bool { return slices.Contains(f.ActiveUnits, u) })
}

// Interface is the name of the interface that has the address; empty if none
// has.
func (f *Facts) Interface(addr netip.Addr) string {
	for _, a := range f.Addresses {
		if a.Prefix.Addr() == addr {
			return a.Interface
		}
	}
	return ""
}

// MTU is that of the interface that has the address, in bytes; 1500 where it
// is not known.
func (f *Facts) MTU(addr netip.Addr) int {
	if mtu := f.MTUs[f.Interface(addr)]; mtu > 0 {
		return mtu
	}
	return 1500
}

// HasAddress says whether the address is on one of the host's interfaces.
func (f *Facts) HasAddress(addr netip.Addr) bool {
	return slices.ContainsFunc(f.Addresses, func(a Address) bool { return a.Prefix.Addr() == addr })
}

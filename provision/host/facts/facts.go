// Package facts describes the state of a host. One script reads all facts at the
// start of a run, in one round trip, and changes nothing.
package facts

import (
	"net/netip"
	"slices"
	"time"
)

// Facts of one host.
type Facts struct {
	// Hostname is uname -n, Kernel is uname -r. Arch is the name that Go and
	// Kubernetes use (amd64, arm64).
	Hostname, Arch, Kernel string
	OS                     OS
	// CPUs is the number of online CPUs, MemoryMiB the total memory.
	CPUs, MemoryMiB int
	// CgroupVersion is 1 or 2, after the file system of /sys/fs/cgroup.
	CgroupVersion int
	// Controllers are the controllers of cgroups that are enabled; none if they cannot be
	// read.
	Controllers []string
	// SELinux is enforcing or permissive; empty if it is disabled or missing.
	SELinux string
	// SELinuxBooleans holds the booleans of the policy that checks need.
	SELinuxBooleans map[string]bool
	// Init is the name of process 1: systemd on every supported host.
	Init string
	// MachineID, ProductUUID and MACs must be unique for each node. MACs are without those
	// of interfaces of pods.
	MachineID, ProductUUID string
	MACs                   []string
	// Skew is how far the host's clock is ahead of the clock of localhost. The
	// error is at most half the round trip.
	Skew time.Duration

	Addresses []Address
	Routes    []Route
	Resolvers []netip.Addr

	Swap Swap
	// Modules are loaded or built in. Loadable modules can be loaded.
	Modules, Loadable []string
	// ModulesUnreadable: neither the modules nor the configuration of the kernel can be
	// read, so that a module in neither list may be built in.
	ModulesUnreadable bool
	// Sysctls holds the settings that the kernel has; see Sysctl.
	Sysctls map[Sysctl]string
	// Disks holds the free space of each path in DiskPaths.
	Disks []Disk
	// Listeners are the TCP ports in use.
	Listeners []Listener
	// CRISockets are the existing sockets of container runtimes.
	CRISockets []string
	// CNIConfigs are the names of the CNI configurations in /etc/cni/net.d.
	CNIConfigs []string
	// Existing are the paths that exist; see Exists.
	Existing []Path
	// Commands are the required programs that are on the PATH.
	Commands []string

	// Leftovers are temporary files of runs that were killed, and files of CNI plugins
	// that a power loss has emptied.
	Leftovers []string
	// Resetting: commands of a reset run on the host. They continue to run when the
	// installer that started them is killed.
	Resetting bool

	// Missing are the programs that the script needs and that the host lacks.
	Missing []string

	// MTUs holds the MTU of each interface in bytes, by name. Bridges are the
	// names of the interfaces that are bridges.
	MTUs    map[string]int
	Bridges []string
	// Loopback are the entries of /etc/hosts that map the host's name to a
	// loopback address: "127.0.1.1 node-1".
	Loopback []string
	// Firewalls are the active firewalls: "ufw", "iptables", or a chain such as
	// "nftables inet filter input". The last two drop input by default. firewalld
	// is in ActiveUnits instead.
	Firewalls []string
	// MaxSessions is sshd's setting; 0 if unknown.
	MaxSessions int
	// ActiveUnits are the active systemd units, of those that checks need.
	ActiveUnits []string
	// Software is what is installed already, Kubernetes what there is of a cluster.
	Software   Software
	Kubernetes Kubernetes
}

// OS is the distribution, from /etc/os-release.
type OS struct {
	// ID is debian, ubuntu, rocky, …; Like holds the values of ID_LIKE.
	ID, Version, Name string
	Like              []string
}

// Address is an address of an interface.
type Address struct {
	Interface string
	Prefix    netip.Prefix
	// Dynamic: the address is leased (DHCP) and may change.
	Dynamic bool
}

// Route is an entry of the main IPv4 routing table.
type Route struct {
	// Destination is 0.0.0.0/0 for the default route.
	Destination netip.Prefix
	Interface   string
	// Source is the preferred source address; invalid if there is none.
	Source netip.Addr
}

// Swap lists everything that enables swap, now or at the next boot.
type Swap struct {
	// Active are the devices and files in /proc/swaps, Fstab the first fields of
	// the swap lines in /etc/fstab, Units the loaded systemd swap units.
	Active, Fstab, Units []string
	// Zram are the configuration files of zram-generator.
	Zram []string
}

// Off reports whether nothing enables swap.
func (s Swap) Off() bool {
	return len(s.Active) == 0 && len(s.Fstab) == 0 && len(s.Units) == 0 && len(s.Zram) == 0
}

// Disk is the file system that holds a path, or will hold it once it exists.
type Disk struct {
	Path, MountPoint string
	// SizeMiB is the size of the file system. FreeMiB is available to an
	// unprivileged process.
	SizeMiB, FreeMiB int
	// Inodes and FreeInodes are 0 if the file system does not count inodes.
	Inodes, FreeInodes int
	// ReadOnly: not even root can write. NoExec: programs cannot be run.
	ReadOnly, NoExec bool
}

// Listener is a listening TCP port.
type Listener struct {
	Port int
	// Process is the program's name; empty if unknown.
	Process string
}

// Module reports whether the module is loaded or built in.
func (f *Facts) Module(name string) bool { return slices.Contains(f.Modules, name) }

// Command reports whether the program is on the PATH. It must be one of those
// that the script looks up.
func (f *Facts) Command(name string) bool { return slices.Contains(f.Commands, name) }

// Lacks reports whether facts are incomplete because the host lacks the program.
func (f *Facts) Lacks(program string) bool { return slices.Contains(f.Missing, program) }

// DefaultAddress returns the host's IPv4 address on its default route; invalid
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

// Active reports whether at least one of the units is active.
func (f *Facts) Active(units ...string) bool {
	return slices.ContainsFunc(units, func(u string) bool { return slices.Contains(f.ActiveUnits, u) })
}

// Interface returns the name of the interface that has the address; empty if
// there is none.
func (f *Facts) Interface(addr netip.Addr) string {
	for _, a := range f.Addresses {
		if a.Prefix.Addr() == addr {
			return a.Interface
		}
	}
	return ""
}

// MTU returns the MTU of the interface that has the address, in bytes; 1500 if
// it is unknown.
func (f *Facts) MTU(addr netip.Addr) int {
	if mtu := f.MTUs[f.Interface(addr)]; mtu > 0 {
		return mtu
	}
	return 1500
}

// HasAddress reports whether one of the host's interfaces has the address.
func (f *Facts) HasAddress(addr netip.Addr) bool {
	return slices.ContainsFunc(f.Addresses, func(a Address) bool { return a.Prefix.Addr() == addr })
}

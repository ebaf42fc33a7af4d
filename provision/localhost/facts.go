package localhost

import (
	"context"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Facts of the computer.
type Facts struct {
	OS, Arch string
	// Virtualization says why virtual machines cannot run with the processor's
	// help; empty if they can. VirtualizationUnknown: it could not be found out.
	Virtualization        string
	VirtualizationUnknown bool
	// MemoryMiB is the memory that is available, FreeMiB the free space below
	// the home directory; -1 where it could not be found out.
	MemoryMiB, FreeMiB int
	// Programs are those that labs need, with their versions; "" where a
	// program is there and does not tell.
	Programs map[string]string
	// HostOnly are the ranges that VirtualBox allows for host-only networks;
	// nil where nothing is set, and its default holds.
	HostOnly []netip.Prefix
	// Routes are the networks to which this computer has a route, by interface.
	Routes []Route
	// Home is the home directory, Shell the MSYSTEM of Git Bash.
	Home, Shell string
	Root        bool
}

// Route is a network that this computer reaches over an interface.
type Route struct {
	Destination netip.Prefix
	Interface   string
}

// versions are how programs are asked for theirs.
var versions = []struct {
	name string
	argv []string
}{
	{"vagrant", []string{"vagrant", "--version"}},
	{"virtualbox", []string{"VBoxManage", "--version"}},
	{"libvirt", []string{"virsh", "--version"}},
	{"vagrant-libvirt", []string{"vagrant", "plugin", "list", "--no-tty"}},
	{"systemd-nspawn", []string{"systemd-nspawn", "--version"}},
	{"debootstrap", []string{"debootstrap", "--version"}},
}

// number is the first version in what a program prints.
var number = regexp.MustCompile(`\d+\.\d+(\.\d+)?|\d+`)

// Read asks the computer. What cannot be found out is left unknown.
func Read(ctx context.Context, m Machine) *Facts {
	f := &Facts{
		OS: m.OS(), Arch: m.Arch(), Programs: map[string]string{}, Home: m.Home(), Shell: m.Env("MSYSTEM"), Root: m.Root(),
	}
	f.readVersions(ctx, m)
	f.readMemory(ctx, m)
	f.readDisk(ctx, m)
	f.readVirtualization(ctx, m)
	f.readRoutes(ctx, m)
	if text, err := m.ReadFile("/etc/vbox/networks.conf"); err == nil {
		f.HostOnly = hostOnly(string(text))
	}
	return f
}

func (f *Facts) readMemory(ctx context.Context, m Machine) {
	f.MemoryMiB = -1
	switch f.OS {
	case "linux":
		text, err := m.ReadFile("/proc/meminfo")
		if err != nil {
			return
		}
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) >= 2 && words[0] == "MemAvailable:" {
				f.MemoryMiB = whole(words[1], 1024)
			}
		}
	case "darwin":
		if out, err := m.Run(ctx, "sysctl", "-n", "hw.memsize"); err == nil {
			f.MemoryMiB = whole(out, 1<<20)
		}
	case "windows":
		if out, err := m.Run(ctx, "powershell", "-NoProfile", "-Command", "(Get-CimInstance Win32_OperatingSystem).FreePhysicalMemory"); err == nil {
			f.MemoryMiB = whole(out, 1024)
		}
	}
}

func (f *Facts) readDisk(ctx context.Context, m Machine) {
	f.FreeMiB = -1
	if f.OS == "windows" {
		if out, err := m.Run(ctx, "powershell", "-NoProfile", "-Command", "(Get-Item $HOME).PSDrive.Free"); err == nil {
			f.FreeMiB = whole(out, 1<<20)
		}
		return
	}
	out, err := m.Run(ctx, "df", "-Pk", f.Home)
	if err != nil {
		return
	}
	lines := strings.Split(out, "\n")
	if words := strings.Fields(lines[len(lines)-1]); len(words) >= 4 {
		f.FreeMiB = whole(words[3], 1024)
	}
}

func (f *Facts) readVirtualization(ctx context.Context, m Machine) {
	switch f.OS {
	case "linux":
		cpu, err := m.ReadFile("/proc/cpuinfo")
		flags := " " + strings.Join(strings.Fields(string(cpu)), " ") + " "
		switch {
		// Some hosts show a /dev/kvm that no machine can run on.
		case err == nil && f.Arch == "amd64" && !strings.Contains(flags, " vmx ") && !strings.Contains(flags, " svm "):
			f.Virtualization = "the processor offers neither vmx nor svm: off in the firmware, or this is a virtual machine"
		case m.Writable("/dev/kvm"):
		case err != nil:
			f.VirtualizationUnknown = true
		default:
			f.Virtualization = "/dev/kvm cannot be opened: the module kvm is not loaded, or you are not in the group kvm"
		}
	case "darwin":
		out, err := m.Run(ctx, "sysctl", "-n", "kern.hv_support")
		f.VirtualizationUnknown = err != nil
		if err == nil && out != "1" {
			f.Virtualization = "kern.hv_support is " + out
		}
	case "windows":
		out, err := m.Run(ctx, "powershell", "-NoProfile", "-Command",
			"$c = Get-CimInstance Win32_ComputerSystem; $p = Get-CimInstance Win32_Processor; \"$($c.HypervisorPresent) $($p.VirtualizationFirmwareEnabled)\"")
		f.VirtualizationUnknown = err != nil
		switch {
		case err != nil:
		case strings.HasPrefix(out, "True"):
			f.Virtualization = "Hyper-V runs, and has the processor's virtualisation for itself"
		case strings.HasSuffix(out, "False"):
			f.Virtualization = "virtualisation is off in the firmware"
		}
	}
}

func (f *Facts) readRoutes(ctx context.Context, m Machine) {
	switch f.OS {
	case "linux":
		if out, err := m.Run(ctx, "ip", "-4", "route", "show", "table", "all"); err == nil {
			f.Routes = linuxRoutes(out)
		}
	case "darwin":
		if out, err := m.Run(ctx, "netstat", "-rn", "-f", "inet"); err == nil {
			f.Routes = bsdRoutes(out)
		}
	case "windows":
		if out, err := m.Run(ctx, "powershell", "-NoProfile", "-Command",
			"Get-NetRoute -AddressFamily IPv4 | ForEach-Object { \"$($_.DestinationPrefix) $($_.InterfaceAlias)\" }"); err == nil {
			f.Routes = pairs(out)
		}
	}
}

// linuxRoutes reads `ip route`; the tables of local and broadcast addresses
// are left out.
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

// bsdRoutes reads `netstat -rn`, which shortens 10.0.0.0/8 to 10.
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

// pairs reads lines of a prefix and an interface.
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

// hostOnly reads VirtualBox's networks.conf: lines "* 192.168.56.0/21 ...".
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

// whole is a number of units in mebibytes, or of what the divisor makes of it;
// -1 if it is none.
func whole(text string, divisor int) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return -1
	}
	return n / divisor
}

// readVersions asks all programs at once: Vagrant takes seconds to start.
func (f *Facts) readVersions(ctx context.Context, m Machine) {
	var running sync.WaitGroup
	var mu sync.Mutex // guards f.Programs
	for _, v := range versions {
		running.Go(func() {
			out, err := m.Run(ctx, v.argv...)
			if err != nil {
				return
			}
			if v.name == "vagrant-libvirt" {
				_, rest, found := strings.Cut(out, "vagrant-libvirt")
				if !found {
					return
				}
				out = rest
			}
			mu.Lock()
			defer mu.Unlock()
			f.Programs[v.name] = number.FindString(out)
		})
	}
	running.Wait()
}

// Has says whether a program is there.
func (f *Facts) Has(program string) bool {
	_, there := f.Programs[program]
	return there
}

// Hypervisor is Vagrant's name of the provider to use here: VirtualBox, or
// libvirt where only that is there.
func (f *Facts) Hypervisor() string {
	if !f.Has("virtualbox") && f.Has("vagrant-libvirt") {
		return "libvirt"
	}
	return "virtualbox"
}

// Vagrant says whether a lab is best made by Vagrant: with a hypervisor that
// runs, and wherever machine containers cannot be, which need Linux and root.
func (f *Facts) Vagrant() bool {
	if f.OS != "linux" {
		return true
	}
	hypervisor := f.Has("virtualbox") || f.Has("libvirt") && f.Has("vagrant-libvirt")
	return f.Has("vagrant") && (!f.Root || hypervisor && f.Virtualization == "")
}

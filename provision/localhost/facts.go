package localhost

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Facts of the computer.
type Facts struct {
	OS, Arch string
	// Distribution is that of Linux. WSL reports the Windows Subsystem for Linux.
	Distribution Distribution
	WSL          bool
	// Virtualization is the reason why virtual machines cannot use the processor's
	// support for them; empty if they can, or if VirtualizationUnknown.
	Virtualization        string
	VirtualizationUnknown bool
	// MemoryMiB is the available memory, FreeMiB the free space of the home
	// directory's file system; -1 if unknown.
	MemoryMiB, FreeMiB int
	// Programs are the installed ones of those that labs need, with their
	// versions; "" for an unknown version.
	Programs map[string]string
	// HostOnly are the ranges that VirtualBox allows for host-only networks; nil
	// for its default.
	HostOnly []netip.Prefix
	// VirtualBoxNetworks are the host-only networks that VirtualBox has.
	VirtualBoxNetworks []netip.Prefix
	// Routes are the destinations of the routing table.
	Routes []Route
	// Home is the home directory, Shell the MSYSTEM of Git Bash.
	Home, Shell string
	Root        bool
}

// versions are the commands that print versions, without VirtualBox.
var versions = []struct {
	name string
	argv []string
}{
	{"vagrant", []string{"vagrant", "--version"}},
	{"libvirt", []string{"virsh", "--version"}},
	{"systemd-nspawn", []string{"systemd-nspawn", "--version"}},
	{"debootstrap", []string{"debootstrap", "--version"}},
}

// plugins are the plugins of Vagrant for hypervisors.
var plugins = []string{"vagrant-libvirt", "vagrant-vmware-desktop", "vagrant-parallels"}

// number matches the first version in an output.
var number = regexp.MustCompile(`\d+\.\d+(\.\d+)?|\d+`)

// ReadFacts reads the facts. One that cannot be read stays unknown.
func ReadFacts(ctx context.Context, sys System) *Facts {
	f := &Facts{
		OS: sys.OS(), Arch: sys.Arch(), Programs: map[string]string{}, Home: sys.Home(), Shell: sys.Env("MSYSTEM"), Root: sys.Root(),
	}
	f.readVersions(ctx, sys)
	f.readMemory(ctx, sys)
	f.readDisk(ctx, sys)
	f.readVirtualization(ctx, sys)
	f.readRoutes(ctx, sys)
	f.readVirtualBoxNetworks(ctx, sys)
	if f.OS == "linux" {
		release, _ := sys.ReadFile("/etc/os-release") // unknown without it
		f.Distribution = distribution(string(release))
		kernel, _ := sys.ReadFile("/proc/sys/kernel/osrelease")
		f.WSL = strings.Contains(strings.ToLower(string(kernel)), "microsoft")
	}
	if text, err := sys.ReadFile("/etc/vbox/networks.conf"); err == nil {
		f.HostOnly = hostOnly(string(text))
	}
	return f
}

func (f *Facts) readMemory(ctx context.Context, sys System) {
	f.MemoryMiB = -1
	switch f.OS {
	case "linux":
		text, err := sys.ReadFile("/proc/meminfo")
		if err != nil {
			return
		}
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) >= 2 && words[0] == "MemAvailable:" {
				f.MemoryMiB = divided(words[1], 1024)
			}
		}
	case "darwin":
		if out, err := sys.Run(ctx, "sysctl", "-n", "hw.memsize"); err == nil {
			f.MemoryMiB = divided(out, 1<<20)
		}
	case "windows":
		if out, err := sys.Run(ctx, "powershell", "-NoProfile", "-Command", "(Get-CimInstance Win32_OperatingSystem).FreePhysicalMemory"); err == nil {
			f.MemoryMiB = divided(out, 1024)
		}
	}
}

func (f *Facts) readDisk(ctx context.Context, sys System) {
	f.FreeMiB = -1
	if f.OS == "windows" {
		if out, err := sys.Run(ctx, "powershell", "-NoProfile", "-Command", "(Get-Item $HOME).PSDrive.Free"); err == nil {
			f.FreeMiB = divided(out, 1<<20)
		}
		return
	}
	out, err := sys.Run(ctx, "df", "-Pk", f.Home)
	if err != nil {
		return
	}
	lines := strings.Split(out, "\n")
	if words := strings.Fields(lines[len(lines)-1]); len(words) >= 4 {
		f.FreeMiB = divided(words[3], 1024)
	}
}

func (f *Facts) readVirtualization(ctx context.Context, sys System) {
	switch f.OS {
	case "linux":
		cpu, err := sys.ReadFile("/proc/cpuinfo")
		flags := " " + strings.Join(strings.Fields(string(cpu)), " ") + " "
		switch {
		// Some computers have a /dev/kvm on which no virtual machine starts.
		case err == nil && f.Arch == "amd64" && !strings.Contains(flags, " vmx ") && !strings.Contains(flags, " svm "):
			f.Virtualization = "the processor has neither vmx nor svm: virtualization is disabled in the firmware, or this is a virtual machine"
		case sys.Writable("/dev/kvm"):
		case err != nil:
			f.VirtualizationUnknown = true
		default:
			f.Virtualization = "/dev/kvm cannot be opened: the module kvm is not loaded, or you are not in the group kvm"
		}
	case "darwin":
		out, err := sys.Run(ctx, "sysctl", "-n", "kern.hv_support")
		f.VirtualizationUnknown = err != nil
		if err == nil && out != "1" {
			f.Virtualization = "kern.hv_support is " + out
		}
	case "windows":
		out, err := sys.Run(ctx, "powershell", "-NoProfile", "-Command",
			"$c = Get-CimInstance Win32_ComputerSystem; $p = Get-CimInstance Win32_Processor; \"$($c.HypervisorPresent) $($p.VirtualizationFirmwareEnabled)\"")
		f.VirtualizationUnknown = err != nil
		switch {
		case err != nil:
		case strings.HasPrefix(out, "True"):
			f.Virtualization = "Hyper-V is running and uses the processor's virtualization"
		case strings.HasSuffix(out, "False"):
			f.Virtualization = "virtualization is disabled in the firmware"
		}
	}
}

// divided parses a number and divides it; -1 if it is not a number.
func divided(text string, divisor int) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return -1
	}
	return n / divisor
}

// readVersions runs all programs in parallel: Vagrant takes seconds to start.
func (f *Facts) readVersions(ctx context.Context, sys System) {
	var running sync.WaitGroup
	var mu sync.Mutex // guards f.Programs
	add := func(name, output string) {
		mu.Lock()
		defer mu.Unlock()
		f.Programs[name] = number.FindString(output)
	}
	for _, v := range append(versions, struct {
		name string
		argv []string
	}{"virtualbox", []string{vboxManage(sys), "--version"}}) {
		running.Go(func() {
			if out, err := sys.Run(ctx, v.argv...); err == nil {
				add(v.name, out)
			}
		})
	}
	running.Go(func() {
		out, err := sys.Run(ctx, "vagrant", "plugin", "list", "--no-tty")
		if err != nil {
			return
		}
		for line := range strings.Lines(out) {
			if name, version, _ := strings.Cut(strings.TrimSpace(line), " "); slices.Contains(plugins, name) {
				add(name, version)
			}
		}
	})
	running.Wait()
}

// Has reports whether a program is installed.
func (f *Facts) Has(program string) bool {
	_, found := f.Programs[program]
	return found
}

// Hypervisor is Vagrant's name of the provider to use: VirtualBox, or another one if
// only that is installed.
func (f *Facts) Hypervisor() string {
	if f.Has("virtualbox") {
		return "virtualbox"
	}
	for _, other := range []struct{ plugin, provider string }{
		{"vagrant-libvirt", "libvirt"}, {"vagrant-parallels", "parallels"}, {"vagrant-vmware-desktop", "vmware_desktop"},
	} {
		if f.Has(other.plugin) {
			return other.provider
		}
	}
	return "virtualbox"
}

// hypervisor reports whether Vagrant has one to use.
func (f *Facts) hypervisor() bool {
	return f.Has("virtualbox") || f.Has("libvirt") && f.Has("vagrant-libvirt") || f.Has("vagrant-parallels") || f.Has("vagrant-vmware-desktop")
}

// Vagrant reports whether labs use Vagrant by default: with a working hypervisor,
// and where machine containers are impossible, which need Linux and root.
func (f *Facts) Vagrant() bool {
	if f.OS != "linux" || !f.Root {
		return true
	}
	return f.Has("vagrant") && f.hypervisor() && f.Virtualization == ""
}

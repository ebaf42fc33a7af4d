package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report/check"
)

// LabSpec describes the lab to run on the computer.
type LabSpec struct {
	// Facts of the computer; nil: they are read.
	Facts *localhost.Facts
	// Provider is vagrant or container; empty for the one that is installed.
	Provider string
	// Hypervisor is Vagrant's name of its provider; empty for the one that is
	// installed.
	Hypervisor string
	// Machines is their number, MemoryMiB and DiskMiB the size of each.
	Machines, MemoryMiB, DiskMiB int
	// Box is the name of Vagrant's box.
	Box string
	// Range is the network of the machines.
	Range netip.Prefix
	// Bundle is the directory of the bundle for the lab; empty if none exists.
	// Download is the address of the release server.
	Bundle, Download string
}

// LocalCheck is a named check of localhost.
type LocalCheck struct {
	check.Description
	run func(context.Context, *localContext) []check.Finding
}

// localContext is the input of the local checks.
type localContext struct {
	machine localhost.System
	facts   *localhost.Facts
	spec    LabSpec
}

// vagrant reports whether Vagrant creates the machines.
func (cc *localContext) vagrant() bool {
	if cc.spec.Provider != "" {
		return cc.spec.Provider == "vagrant"
	}
	return cc.facts.Vagrant()
}

// virtualBox reports whether Vagrant uses VirtualBox.
func (cc *localContext) virtualBox() bool {
	hypervisor := cc.spec.Hypervisor
	if hypervisor == "" {
		hypervisor = cc.facts.Hypervisor()
	}
	return cc.vagrant() && hypervisor == "virtualbox"
}

// RunLocal runs the checks of localhost.
func RunLocal(ctx context.Context, m localhost.System, want LabSpec, selection Selection) (*check.Report, error) {
	started := time.Now()
	cc := &localContext{machine: m, facts: want.Facts, spec: want}
	if cc.facts == nil {
		cc.facts = localhost.ReadFacts(ctx, m)
	}
	report := &check.Report{Hosts: []string{}, Started: started}
	for _, c := range LocalChecks() {
		reason := selection.skipReason(c.Name)
		if reason != "" && len(selection.Only) > 0 {
			continue
		}
		r := check.Result{Description: c.Description, Status: check.OK, Findings: []check.Finding{}, Reason: reason}
		if reason != "" {
			r.Status = check.Skipped
			report.Checks = append(report.Checks, r)
			continue
		}
		for _, f := range c.run(ctx, cc) {
			r.Add(f)
		}
		report.Checks = append(report.Checks, r)
	}
	report.Seconds = time.Since(started).Seconds()
	return report, ctx.Err()
}

// LocalChecks are all checks of localhost.
func LocalChecks() []LocalCheck {
	all := []LocalCheck{
		{
			Description: check.Description{
				Name: "lab-provider", Title: "a provider of machines is available", Severity: check.Error,
				Examines: "Vagrant with VirtualBox, libvirt, Parallels or VMware; or, on Linux as root, systemd-nspawn and debootstrap.",
				Why:      "A lab needs a provider that creates its machines.",
				Manual:   []string{"vagrant --version; vagrant plugin list; VBoxManage --version; virsh --version", "apt-get install systemd-container debootstrap"},
			}, run: labProvider,
		},
		{
			Description: check.Description{
				Name: "virtualization", Title: "hardware virtualization is available", Severity: check.Error,
				Examines: "/dev/kvm and the processor's flags on Linux, kern.hv_support on macOS, Hyper-V and the firmware's setting on Windows.",
				Why:      "Without it, virtual machines do not start, or are many times slower.",
				Manual:   []string{"ls -l /dev/kvm; grep -Ec 'vmx|svm' /proc/cpuinfo    # Linux", "sysctl kern.hv_support                               # macOS", "systeminfo                                           # Windows"},
			}, run: virtualization,
		},
		{
			Description: check.Description{
				Name: "local-memory", Title: "there is enough memory for the machines", Severity: check.Error,
				Examines: "The available memory, and the memory of all machines.",
				Why:      "If the computer swaps, etcd loses its leader.",
				Manual:   []string{"free -m"},
			}, run: localMemory,
		},
		{
			Description: check.Description{
				Name: "local-disk", Title: "there is enough disk space for the machines", Severity: check.Error,
				Examines: "The free space in the home directory, and the disks of all machines.",
				Why:      "Virtual disks grow during the installation, and a machine stops when its disk cannot.",
				Manual:   []string{"df -h ~"},
			}, run: localDisk,
		},
		{
			Description: check.Description{
				Name: "provider-versions", Title: "Vagrant supports the hypervisor and the box", Severity: check.Error,
				Examines: "The versions of Vagrant and VirtualBox, the box, and the architecture of this computer.",
				Why:      "Vagrant refuses a VirtualBox that is newer than itself: \"not supported by this version of Vagrant\". Older versions cannot configure the network of recent boxes, or choose a box by architecture.",
				Manual:   []string{"vagrant --version; VBoxManage --version"},
			}, run: providerVersions,
		},
		{
			Description: check.Description{
				Name: "host-only-range", Title: "VirtualBox allows the lab's range", Severity: check.Error,
				Examines: "/etc/vbox/networks.conf, with VirtualBox on Linux, and on macOS before VirtualBox 7.0.",
				Why:      "VirtualBox 6.1.28 and later allows only 192.168.56.0/21 for host-only networks by default.",
				Manual:   []string{"cat /etc/vbox/networks.conf", "sudo mkdir -p /etc/vbox && echo '* RANGE' | sudo tee -a /etc/vbox/networks.conf"},
			}, run: hostOnlyRange,
		},
		{
			Description: check.Description{
				Name: "vpn-route", Title: "the lab's range is not in use", Severity: check.Error,
				Examines: "The routes of this computer, and the lab's range.",
				Why:      "A VPN with this range takes all traffic to the machines.",
				Manual:   []string{"ip route    # Linux", "netstat -rn -f inet    # macOS", "route print -4    # Windows"},
			}, run: vpnRoute,
		},
		{
			Description: check.Description{
				Name: "windows-paths", Title: "the tools support the paths", Severity: check.Warning,
				Examines: "The name of the home directory, and whether the shell is Git Bash.",
				Why:      "Spaces and non-ASCII letters break Vagrant and its boxes; Git Bash rewrites paths in arguments.",
				Manual:   []string{"echo %USERPROFILE%", "set VAGRANT_HOME=C:\\vagrant", "export MSYS_NO_PATHCONV=1    # in Git Bash"},
			}, run: windowsPaths,
		},
		{
			Description: check.Description{
				Name: "downloads", Title: "a bundle exists or can be downloaded", Severity: check.Error,
				Examines: "The cached bundle, or else whether the release server answers.",
				Why:      "The network of a workshop is slow when everybody downloads at once: create the bundle beforehand.",
				Manual:   []string{"slipway bundle create", "curl -I https://dl.k8s.io/"},
			}, run: downloads,
		},
	}
	for i := range all {
		all[i].Kind, all[i].Docs = check.Local, "docs/preflight.md#"+all[i].Name
	}
	return all
}

func labProvider(_ context.Context, cc *localContext) []check.Finding {
	has := cc.facts.Has
	if cc.vagrant() {
		missing := cc.facts.MissingProvider(cc.spec.Hypervisor)
		if len(missing) == 0 {
			return nil
		}
		var ways []string
		for _, way := range cc.facts.InstallGuide(cc.spec.Hypervisor).Ways {
			ways = append(ways, strings.Join(way.Commands, "; "))
		}
		if len(ways) == 0 {
			ways = []string{"https://developer.hashicorp.com/vagrant/install"}
		}
		return []check.Finding{{Evidence: "missing: " + strings.Join(missing, ", "), Fix: strings.Join(ways, "; or: ")}}
	}
	var found []check.Finding
	for _, p := range []struct{ name, pkg string }{{"systemd-nspawn", "systemd-container"}, {"debootstrap", "debootstrap"}} {
		if !has(p.name) {
			found = append(found, check.Finding{Evidence: p.name + " is not installed", Fix: "apt-get install " + p.pkg})
		}
	}
	if !cc.facts.Root {
		found = append(found, check.Finding{Evidence: "containers need root", Fix: "sudo slipway preflight --local"})
	}
	return found
}

func virtualization(_ context.Context, cc *localContext) []check.Finding {
	switch {
	case !cc.vagrant():
		return nil // containers need no help
	case cc.facts.VirtualizationUnknown:
		return []check.Finding{{Severity: check.Unknown, Evidence: "virtualization support could not be determined", Fix: "enable VT-x, AMD-V or SVM in the firmware settings"}}
	case cc.facts.Virtualization != "":
		return []check.Finding{{Evidence: cc.facts.Virtualization, Fix: virtualizationFix(cc.facts)}}
	}
	return nil
}

func virtualizationFix(f *localhost.Facts) string {
	switch {
	case strings.Contains(f.Virtualization, "kvm"):
		return "modprobe kvm_intel || modprobe kvm_amd; usermod -aG kvm $USER, and log in again"
	case strings.Contains(f.Virtualization, "Hyper-V"):
		return "bcdedit /set hypervisorlaunchtype off, and restart; or pass --skip-checks virtualization: VirtualBox is slow on Hyper-V"
	}
	return "turn VT-x, AMD-V or SVM on in the firmware's settings"
}

func localMemory(_ context.Context, cc *localContext) []check.Finding {
	need := cc.spec.Machines * cc.spec.MemoryMiB
	switch have := cc.facts.MemoryMiB; {
	case have < 0:
		return []check.Finding{{Severity: check.Unknown, Evidence: "the available memory could not be determined", Fix: fmt.Sprintf("check that %d MiB are free", need)}}
	case have < need:
		return []check.Finding{{
			Evidence: fmt.Sprintf("%d MiB are available, but %d machines of %d MiB need %d", have, cc.spec.Machines, cc.spec.MemoryMiB, need),
			Fix:      "close other programs, or reduce --machines or --memory",
		}}
	}
	return nil
}

func localDisk(_ context.Context, cc *localContext) []check.Finding {
	need := cc.spec.Machines * cc.spec.DiskMiB
	switch have := cc.facts.FreeMiB; {
	case have < 0:
		return []check.Finding{{Severity: check.Unknown, Evidence: "the free space could not be determined", Fix: fmt.Sprintf("check that %d MiB are free", need)}}
	case have < need:
		return []check.Finding{{
			Evidence: fmt.Sprintf("%d MiB are free in %s, but %d machines need %d", have, cc.facts.Home, cc.spec.Machines, need),
			Fix:      fmt.Sprintf("free %d MiB there", need-have),
		}}
	}
	return nil
}

// hostOnlyDefault is what VirtualBox allows without a setting.
var hostOnlyDefault = netip.MustParsePrefix("192.168.56.0/21")

// restricted reports whether VirtualBox restricts the ranges of host-only networks: from
// 6.1.28, not on Windows, and on macOS only before 7.0. Vagrant checks the same
// (plugins/providers/virtualbox/action/network.rb).
func (cc *localContext) restricted() bool {
	v := cc.versions().virtualBox
	return cc.virtualBox() && cc.facts.Has("virtualbox") && cc.facts.OS != "windows" && !older(v, "6.1.28") &&
		(cc.facts.OS != "darwin" || older(v, "7.0"))
}

func hostOnlyRange(_ context.Context, cc *localContext) []check.Finding {
	if !cc.restricted() {
		return nil
	}
	allowed, line := cc.facts.HostOnly, "* "+cc.spec.Range.String()
	if allowed == nil {
		// With the file, nothing is allowed that is not in it.
		allowed, line = []netip.Prefix{hostOnlyDefault}, fmt.Sprintf("* %s %s", hostOnlyDefault, cc.spec.Range)
	}
	for _, prefix := range allowed {
		if prefix.Bits() <= cc.spec.Range.Bits() && prefix.Contains(cc.spec.Range.Addr()) {
			return nil
		}
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("VirtualBox allows only %s for host-only networks, but the lab's range is %s", prefixes(allowed), cc.spec.Range),
		Fix:      fmt.Sprintf("sudo mkdir -p /etc/vbox && echo '%s' | sudo tee -a /etc/vbox/networks.conf", line),
	}}
}

func prefixes(all []netip.Prefix) string {
	var texts []string
	for _, p := range all {
		texts = append(texts, p.String())
	}
	if len(texts) == 0 {
		return "nothing"
	}
	return names(texts)
}

// ownInterfaces begin the names of interfaces that providers of machines create.
var ownInterfaces = []string{"vboxnet", "virbr", "VirtualBox", "slw", "vb-"}

// ownRoute reports whether a route leads to machines of a provider. On macOS and Windows,
// VirtualBox's interfaces have names such as bridge100 and Ethernet 2.
func (cc *localContext) ownRoute(r localhost.Route) bool {
	for _, name := range ownInterfaces {
		if strings.HasPrefix(r.Interface, name) {
			return true
		}
	}
	if cc.facts.OS == "linux" {
		return false
	}
	for _, network := range cc.facts.VirtualBoxNetworks {
		if network.Bits() <= r.Destination.Bits() && network.Contains(r.Destination.Addr()) {
			return true
		}
	}
	return false
}

func vpnRoute(_ context.Context, cc *localContext) []check.Finding {
	var found []check.Finding
	for _, r := range cc.facts.Routes {
		if cc.ownRoute(r) || r.Destination.Bits() <= 1 || !r.Destination.Overlaps(cc.spec.Range) {
			continue // the default route, and the two halves in which VPNs write it
		}
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("the route to %s over %s overlaps the lab's range %s", r.Destination, r.Interface, cc.spec.Range),
			Fix:      "disconnect the VPN while the lab runs, or choose another --range",
		})
	}
	return found
}

func windowsPaths(_ context.Context, cc *localContext) []check.Finding {
	var found []check.Finding
	strange := strings.ContainsFunc(cc.facts.Home, func(r rune) bool { return r == ' ' || r > unicode.MaxASCII })
	if cc.vagrant() && strange {
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("the home directory %q contains spaces or non-ASCII letters", cc.facts.Home),
			Fix:      "set VAGRANT_HOME to a directory with an ASCII name, such as C:\\vagrant",
		})
	}
	if cc.facts.Shell != "" {
		found = append(found, check.Finding{
			Evidence: "the shell is Git Bash (MSYSTEM " + cc.facts.Shell + "), which rewrites arguments that look like paths",
			Fix:      "export MSYS_NO_PATHCONV=1, or use PowerShell",
		})
	}
	return found
}

func downloads(ctx context.Context, cc *localContext) []check.Finding {
	if cc.spec.Bundle != "" {
		return nil
	}
	if err := cc.machine.Reach(ctx, cc.spec.Download); err != nil {
		return []check.Finding{{
			Evidence: fmt.Sprintf("no bundle exists, and %s does not answer: %v", cc.spec.Download, err),
			Fix:      "create a bundle on another computer with slipway bundle create, and pass --bundle",
		}}
	}
	return []check.Finding{{
		Severity: check.Info, Evidence: "no bundle exists yet; " + cc.spec.Download + " answers",
		Fix: "slipway bundle create",
	}}
}

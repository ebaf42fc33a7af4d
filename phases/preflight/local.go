package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	goversion "github.com/hashicorp/go-version"

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
				Examines: "Vagrant with VirtualBox or libvirt; or, on Linux as root, systemd-nspawn and debootstrap.",
				Why:      "A lab needs a provider that creates its machines.",
				Manual:   []string{"vagrant --version; VBoxManage --version; virsh --version", "apt-get install systemd-container debootstrap"},
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
				Name: "provider-versions", Title: "Vagrant supports this VirtualBox", Severity: check.Error,
				Examines: "The versions of Vagrant and VirtualBox.",
				Why:      "Vagrant refuses a VirtualBox that is newer than itself: \"not supported by this version of Vagrant\".",
				Manual:   []string{"vagrant --version; VBoxManage --version"},
			}, run: providerVersions,
		},
		{
			Description: check.Description{
				Name: "host-only-range", Title: "VirtualBox allows the lab's range", Severity: check.Error,
				Examines: "/etc/vbox/networks.conf, with VirtualBox on Linux and macOS.",
				Why:      "VirtualBox 6.1.28 and later allows only 192.168.56.0/21 for host-only networks by default.",
				Manual:   []string{"cat /etc/vbox/networks.conf", "echo '* RANGE' | sudo tee -a /etc/vbox/networks.conf"},
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
		libvirt := cc.spec.Hypervisor == "libvirt" || cc.spec.Hypervisor == "" && !has("virtualbox")
		switch {
		case !has("vagrant"):
			return []check.Finding{{Evidence: "Vagrant is not installed", Fix: "install Vagrant and VirtualBox: https://developer.hashicorp.com/vagrant/install"}}
		case cc.spec.Hypervisor == "virtualbox" && !has("virtualbox"):
			return []check.Finding{{Evidence: "VirtualBox is not installed", Fix: "install VirtualBox: https://www.virtualbox.org/wiki/Downloads"}}
		case libvirt && !has("libvirt"):
			return []check.Finding{{Evidence: "neither VirtualBox nor libvirt is installed", Fix: "install VirtualBox, or on Linux libvirt: apt-get install libvirt-daemon-system vagrant-libvirt"}}
		case libvirt && !has("vagrant-libvirt"):
			return []check.Finding{{Evidence: "Vagrant has no plugin for libvirt", Fix: "vagrant plugin install vagrant-libvirt"}}
		}
		return nil
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
		return "bcdedit /set hypervisorlaunchtype off, and restart; or use Hyper-V's own provider"
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

// knownSince has the first Vagrant that knows a VirtualBox: its CHANGELOG for
// 6.1 (GH-11250) and 7.0, hashicorp/vagrant#13501 for 7.1, and for 7.2 the
// list that 2.4.7 prints, which ends with 7.1 (void-packages#56826).
var knownSince = []struct{ virtualBox, vagrant string }{
	{"7.2", "2.4.8"}, {"7.1", "2.4.2"}, {"7.0", "2.3.2"}, {"6.1", "2.2.7"},
}

func providerVersions(_ context.Context, cc *localContext) []check.Finding {
	box, err1 := goversion.NewVersion(cc.facts.Programs["virtualbox"])
	vagrant, err2 := goversion.NewVersion(cc.facts.Programs["vagrant"])
	if err1 != nil || err2 != nil {
		return nil // one is not installed, or prints no version
	}
	for _, k := range knownSince {
		if box.LessThan(goversion.Must(goversion.NewVersion(k.virtualBox))) {
			continue
		}
		if vagrant.LessThan(goversion.Must(goversion.NewVersion(k.vagrant))) {
			return []check.Finding{{
				Evidence: fmt.Sprintf("Vagrant %s does not support VirtualBox %s", vagrant, box),
				Fix:      "install Vagrant " + k.vagrant + " or later",
			}}
		}
		return nil
	}
	return nil
}

// hostOnlyDefault is what VirtualBox allows without a setting.
var hostOnlyDefault = netip.MustParsePrefix("192.168.56.0/21")

func hostOnlyRange(_ context.Context, cc *localContext) []check.Finding {
	text, there := cc.facts.Programs["virtualbox"]
	box, err := goversion.NewVersion(text)
	if !there || !cc.virtualBox() || cc.facts.OS == "windows" ||
		err == nil && box.LessThan(goversion.Must(goversion.NewVersion("6.1.28"))) {
		return nil
	}
	allowed := cc.facts.HostOnly
	if allowed == nil {
		allowed = []netip.Prefix{hostOnlyDefault}
	}
	for _, prefix := range allowed {
		if prefix.Bits() <= cc.spec.Range.Bits() && prefix.Contains(cc.spec.Range.Addr()) {
			return nil
		}
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("VirtualBox allows only %s for host-only networks, but the lab's range is %s", prefixes(allowed), cc.spec.Range),
		Fix:      fmt.Sprintf("echo '* %s' | sudo tee -a /etc/vbox/networks.conf", cc.spec.Range),
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

func vpnRoute(_ context.Context, cc *localContext) []check.Finding {
	var found []check.Finding
	for _, r := range cc.facts.Routes {
		own := false
		for _, name := range ownInterfaces {
			own = own || strings.HasPrefix(r.Interface, name)
		}
		if own || r.Destination.Bits() <= 1 || !r.Destination.Overlaps(cc.spec.Range) {
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

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

// Wanted is the lab that shall run on the computer.
type Wanted struct {
	// Facts of the computer; nil: they are read.
	Facts *localhost.Facts
	// Provider is vagrant or container; empty for whichever is there.
	Provider string
	// Hypervisor is Vagrant's name of its provider; empty for whichever is
	// there.
	Hypervisor string
	// Machines is how many there shall be, MemoryMiB and DiskMiB what each of
	// them takes.
	Machines, MemoryMiB, DiskMiB int
	// Range is the network of the machines.
	Range netip.Prefix
	// Bundle is the folder of the bundle that would be used; empty if there is
	// none yet. Download is where one would come from.
	Bundle, Download string
}

// LocalCheck is a named question about the installer's own computer.
type LocalCheck struct {
	check.Description
	look func(context.Context, *localLook) []check.Finding
}

// localLook is what local checks look at.
type localLook struct {
	machine localhost.System
	facts   *localhost.Facts
	want    Wanted
}

// vagrant says whether the lab is to be made by Vagrant.
func (l *localLook) vagrant() bool {
	if l.want.Provider != "" {
		return l.want.Provider == "vagrant"
	}
	return l.facts.Vagrant()
}

// virtualBox says whether Vagrant is to use VirtualBox.
func (l *localLook) virtualBox() bool {
	hypervisor := l.want.Hypervisor
	if hypervisor == "" {
		hypervisor = l.facts.Hypervisor()
	}
	return l.vagrant() && hypervisor == "virtualbox"
}

// LookLocal runs the checks of the computer itself.
func LookLocal(ctx context.Context, m localhost.System, want Wanted, selection Selection) (*check.Report, error) {
	started := time.Now()
	l := &localLook{machine: m, facts: want.Facts, want: want}
	if l.facts == nil {
		l.facts = localhost.ReadFacts(ctx, m)
	}
	report := &check.Report{Hosts: []string{}, Started: started}
	for _, c := range LocalChecks() {
		reason := selection.skips(c.Name)
		if reason != "" && len(selection.Only) > 0 {
			continue
		}
		r := check.Result{Description: c.Description, Status: check.OK, Findings: []check.Finding{}, Reason: reason}
		if reason != "" {
			r.Status = check.Skipped
			report.Checks = append(report.Checks, r)
			continue
		}
		for _, f := range c.look(ctx, l) {
			r.Add(f)
		}
		report.Checks = append(report.Checks, r)
	}
	report.Seconds = time.Since(started).Seconds()
	return report, ctx.Err()
}

// LocalChecks are all that is asked of the installer's own computer.
func LocalChecks() []LocalCheck {
	all := []LocalCheck{
		{
			Description: check.Description{
				Name: "lab-provider", Title: "something here can make machines", Severity: check.Error,
				Looks:  "Vagrant with VirtualBox or libvirt; or, on Linux as root, systemd-nspawn and debootstrap.",
				Why:    "A lab needs a provider of machines.",
				Manual: []string{"vagrant --version; VBoxManage --version; virsh --version", "apt-get install systemd-container debootstrap"},
			}, look: labProvider,
		},
		{
			Description: check.Description{
				Name: "virtualization", Title: "the processor helps virtual machines", Severity: check.Error,
				Looks:  "/dev/kvm and the processor's flags on Linux, kern.hv_support on macOS, Hyper-V and the firmware's setting on Windows.",
				Why:    "Without it virtual machines do not start, or take minutes for what takes seconds.",
				Manual: []string{"ls -l /dev/kvm; grep -Ec 'vmx|svm' /proc/cpuinfo    # Linux", "sysctl kern.hv_support                               # macOS", "systeminfo                                           # Windows"},
			}, look: virtualization,
		},
		{
			Description: check.Description{
				Name: "local-memory", Title: "enough memory for the machines", Severity: check.Error,
				Looks:  "The memory that is available, and what the machines take.",
				Why:    "A computer that begins to swap makes etcd lose its leader.",
				Manual: []string{"free -m"},
			}, look: localMemory,
		},
		{
			Description: check.Description{
				Name: "local-disk", Title: "enough disk for the machines", Severity: check.Error,
				Looks:  "The free space below the home directory, and what the machines take.",
				Why:    "Virtual disks grow while images are imported, and stop the machine when they cannot.",
				Manual: []string{"df -h ~"},
			}, look: localDisk,
		},
		{
			Description: check.Description{
				Name: "provider-versions", Title: "Vagrant knows this VirtualBox", Severity: check.Error,
				Looks:  "The versions of Vagrant and VirtualBox.",
				Why:    "Vagrant refuses a VirtualBox that is newer than itself: \"not supported by this version of Vagrant\".",
				Manual: []string{"vagrant --version; VBoxManage --version"},
			}, look: providerVersions,
		},
		{
			Description: check.Description{
				Name: "host-only-range", Title: "VirtualBox allows the lab's range", Severity: check.Error,
				Looks:  "/etc/vbox/networks.conf, with VirtualBox on Linux and macOS.",
				Why:    "Since 6.1.28 VirtualBox allows 192.168.56.0/21 alone for host-only networks, unless told otherwise.",
				Manual: []string{"cat /etc/vbox/networks.conf", "echo '* RANGE' | sudo tee -a /etc/vbox/networks.conf"},
			}, look: hostOnlyRange,
		},
		{
			Description: check.Description{
				Name: "vpn-route", Title: "nothing else has the lab's range", Severity: check.Error,
				Looks:  "The routes of this computer, and the lab's range.",
				Why:    "A VPN that takes the range swallows everything that is sent to the machines.",
				Manual: []string{"ip route    # Linux", "netstat -rn -f inet    # macOS", "route print -4    # Windows"},
			}, look: vpnRoute,
		},
		{
			Description: check.Description{
				Name: "windows-paths", Title: "paths that the tools can read", Severity: check.Warning,
				Looks:  "The home directory's name, and whether this is Git Bash.",
				Why:    "Spaces and letters beyond ASCII break Vagrant and its boxes; Git Bash rewrites paths in arguments.",
				Manual: []string{"echo %USERPROFILE%", "set VAGRANT_HOME=C:\\vagrant", "export MSYS_NO_PATHCONV=1    # in Git Bash"},
			}, look: windowsPaths,
		},
		{
			Description: check.Description{
				Name: "downloads", Title: "a bundle is there, or can be had", Severity: check.Error,
				Looks:  "The bundle of the wanted version; without one, whether the release server answers.",
				Why:    "A workshop's network is slow when thirty people download at once: make the bundle before.",
				Manual: []string{"slipway bundle create", "curl -I https://dl.k8s.io/"},
			}, look: downloads,
		},
	}
	for i := range all {
		all[i].Kind, all[i].Docs = check.Local, "docs/preflight.md#"+all[i].Name
	}
	return all
}

func labProvider(_ context.Context, l *localLook) []check.Finding {
	has := l.facts.Has
	if l.vagrant() {
		libvirt := l.want.Hypervisor == "libvirt" || l.want.Hypervisor == "" && !has("virtualbox")
		switch {
		case !has("vagrant"):
			return []check.Finding{{Evidence: "Vagrant is not installed", Fix: "install Vagrant and VirtualBox: https://developer.hashicorp.com/vagrant/install"}}
		case l.want.Hypervisor == "virtualbox" && !has("virtualbox"):
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
	if !l.facts.Root {
		found = append(found, check.Finding{Evidence: "machine containers need root", Fix: "sudo slipway preflight --local"})
	}
	return found
}

func virtualization(_ context.Context, l *localLook) []check.Finding {
	switch {
	case !l.vagrant():
		return nil // containers need no help
	case l.facts.VirtualizationUnknown:
		return []check.Finding{{Severity: check.Unknown, Evidence: "it could not be found out", Fix: "look into the firmware's settings: VT-x, AMD-V or SVM has to be on"}}
	case l.facts.Virtualization != "":
		return []check.Finding{{Evidence: l.facts.Virtualization, Fix: virtualizationFix(l.facts)}}
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

func localMemory(_ context.Context, l *localLook) []check.Finding {
	need := l.want.Machines * l.want.MemoryMiB
	switch have := l.facts.MemoryMiB; {
	case have < 0:
		return []check.Finding{{Severity: check.Unknown, Evidence: "the memory could not be found out", Fix: "see that " + fmt.Sprint(need) + " MiB are free"}}
	case have < need:
		return []check.Finding{{
			Evidence: fmt.Sprintf("%d MiB are available, %d machines of %d MiB need %d", have, l.want.Machines, l.want.MemoryMiB, need),
			Fix:      "close what takes memory, or make fewer or smaller machines: --machines, --memory",
		}}
	}
	return nil
}

func localDisk(_ context.Context, l *localLook) []check.Finding {
	need := l.want.Machines * l.want.DiskMiB
	switch have := l.facts.FreeMiB; {
	case have < 0:
		return []check.Finding{{Severity: check.Unknown, Evidence: "the free space could not be found out", Fix: "see that " + fmt.Sprint(need) + " MiB are free"}}
	case have < need:
		return []check.Finding{{
			Evidence: fmt.Sprintf("%d MiB are free below %s, %d machines need %d", have, l.facts.Home, l.want.Machines, need),
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

func providerVersions(_ context.Context, l *localLook) []check.Finding {
	box, err1 := goversion.NewVersion(l.facts.Programs["virtualbox"])
	vagrant, err2 := goversion.NewVersion(l.facts.Programs["vagrant"])
	if err1 != nil || err2 != nil {
		return nil // one of them is not there, or does not tell
	}
	for _, k := range knownSince {
		if box.LessThan(goversion.Must(goversion.NewVersion(k.virtualBox))) {
			continue
		}
		if vagrant.LessThan(goversion.Must(goversion.NewVersion(k.vagrant))) {
			return []check.Finding{{
				Evidence: fmt.Sprintf("Vagrant %s does not know VirtualBox %s", vagrant, box),
				Fix:      "install Vagrant " + k.vagrant + " or later",
			}}
		}
		return nil
	}
	return nil
}

// hostOnlyDefault is what VirtualBox allows without a setting.
var hostOnlyDefault = netip.MustParsePrefix("192.168.56.0/21")

func hostOnlyRange(_ context.Context, l *localLook) []check.Finding {
	text, there := l.facts.Programs["virtualbox"]
	box, err := goversion.NewVersion(text)
	if !there || !l.virtualBox() || l.facts.OS == "windows" ||
		err == nil && box.LessThan(goversion.Must(goversion.NewVersion("6.1.28"))) {
		return nil
	}
	allowed := l.facts.HostOnly
	if allowed == nil {
		allowed = []netip.Prefix{hostOnlyDefault}
	}
	for _, prefix := range allowed {
		if prefix.Bits() <= l.want.Range.Bits() && prefix.Contains(l.want.Range.Addr()) {
			return nil
		}
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("VirtualBox allows %s for host-only networks, the lab's range is %s", prefixes(allowed), l.want.Range),
		Fix:      fmt.Sprintf("echo '* %s' | sudo tee -a /etc/vbox/networks.conf", l.want.Range),
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

// ownInterfaces begin the names of interfaces that providers of machines make.
var ownInterfaces = []string{"vboxnet", "virbr", "VirtualBox", "slw", "vb-"}

func vpnRoute(_ context.Context, l *localLook) []check.Finding {
	var found []check.Finding
	for _, r := range l.facts.Routes {
		own := false
		for _, name := range ownInterfaces {
			own = own || strings.HasPrefix(r.Interface, name)
		}
		if own || r.Destination.Bits() <= 1 || !r.Destination.Overlaps(l.want.Range) {
			continue // the default route, and the two halves in which VPNs write it
		}
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("%s goes over %s, and the lab's range is %s", r.Destination, r.Interface, l.want.Range),
			Fix:      "leave the VPN while the lab runs, or give the lab another range: --range",
		})
	}
	return found
}

func windowsPaths(_ context.Context, l *localLook) []check.Finding {
	var found []check.Finding
	strange := strings.ContainsFunc(l.facts.Home, func(r rune) bool { return r == ' ' || r > unicode.MaxASCII })
	if l.vagrant() && strange {
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("the home directory %q has spaces or letters beyond ASCII", l.facts.Home),
			Fix:      "set VAGRANT_HOME to a folder with a plain name, such as C:\\vagrant",
		})
	}
	if l.facts.Shell != "" {
		found = append(found, check.Finding{
			Evidence: "this is Git Bash (MSYSTEM " + l.facts.Shell + "), which rewrites what looks like a path",
			Fix:      "export MSYS_NO_PATHCONV=1, or use PowerShell",
		})
	}
	return found
}

func downloads(ctx context.Context, l *localLook) []check.Finding {
	if l.want.Bundle != "" {
		return nil
	}
	if err := l.machine.Reach(ctx, l.want.Download); err != nil {
		return []check.Finding{{
			Evidence: fmt.Sprintf("there is no bundle, and %s does not answer: %v", l.want.Download, err),
			Fix:      "make a bundle where there is a network (slipway bundle create), and name it: --bundle",
		}}
	}
	return []check.Finding{{
		Severity: check.Info, Evidence: "there is no bundle yet; " + l.want.Download + " answers",
		Fix: "slipway bundle create, before the workshop",
	}}
}

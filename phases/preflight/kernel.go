package preflight

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// kernelChecks are about the kernel and what slipway sets in it.
func kernelChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "kernel", Title: "the kernel has the required modules", Kind: check.Host, Severity: check.Error,
				Examines: "The modules that containerd, the pod network and kube-proxy in its mode (iptables, nftables, ipvs) need: loaded, built in or loadable.",
				Why: "Without them, containers do not start, or Services and pod traffic between nodes fail. Images of RHEL-like systems may lack " +
					"kernel-modules-extra, which slipway installs for the running kernel.",
				Manual: []string{
					"lsmod; modprobe -n -v -a overlay nf_conntrack vxlan xt_comment xt_MASQUERADE nft_compat",
					"apt-get install linux-modules-extra-$(uname -r)    # on Ubuntu's small kernels",
					"dnf install -y kernel-modules-extra-$(uname -r)    # on RHEL-like systems",
				},
			},
			run: kernel,
		},
		{
			Description: check.Description{
				Name: "br-netfilter", Title: "bridged traffic passes through netfilter", Kind: check.Host, Severity: check.Error,
				Examines: "The module br_netfilter: loaded, built in or loadable.",
				Why:      "Without it, Flannel fails and Services lose packets. kubeadm does not check it since 1.30.",
				Manual:   []string{"modprobe br_netfilter && sysctl net.bridge.bridge-nf-call-iptables", "echo br_netfilter > /etc/modules-load.d/k8s.conf"},
			},
			run: brNetfilter,
		},
		{
			Description: check.Description{
				Name: "ip-forward", Title: "the kernel forwards packets", Kind: check.Host, Severity: check.Warning,
				Examines: "The sysctl net.ipv4.ip_forward.",
				Why:      "The host must forward the traffic of pods. kubeadm refuses to run without it.",
				Manual:   []string{"sysctl net.ipv4.ip_forward", "echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/90-k8s.conf && sysctl --system"},
			},
			run: eachHost(ipForward),
		},
		{
			Description: check.Description{
				Name: "swap-returns", Title: "swap is off permanently", Kind: check.Host, Severity: check.Info,
				Examines: "/proc/swaps, /etc/fstab, systemd's swap units and the configuration of zram-generator.",
				Why:      "swapoff alone lasts until the next boot, and then kubelet does not start.",
				Manual:   []string{"cat /proc/swaps; grep swap /etc/fstab; systemctl list-units --type=swap", "swapoff -a && sed -i '/\\sswap\\s/s/^/#/' /etc/fstab && systemctl mask SWAP_UNIT"},
			},
			run: eachHost(swapReturns),
		},
	}
}

// Modules that have checks of their own.
const (
	brNetfilterModule = "br_netfilter"
	iscsiModule       = "iscsi_tcp"
)

func kernel(cc *checkContext) []check.Finding {
	return cc.modules(func(module string) bool { return module != brNetfilterModule && module != iscsiModule })
}

func brNetfilter(cc *checkContext) []check.Finding {
	return cc.modules(func(module string) bool { return module == brNetfilterModule })
}

// modules reports the modules that hosts need and lack, of those that a check is about.
func (cc *checkContext) modules(about func(string) bool) []check.Finding {
	var found []check.Finding
	for _, h := range cc.reachable() {
		missing := slices.DeleteFunc(h.Facts().Lacking(cc.cluster.KernelModules(h.Config)), func(m string) bool { return !about(m) })
		if len(missing) == 0 {
			continue
		}
		f := cc.lackModules(h, missing)
		f.Host = h.Config.Name
		found = append(found, f)
	}
	return found
}

// lackModules is the finding about modules that a host lacks.
func (cc *checkContext) lackModules(h *workflow.Host, missing []string) check.Finding {
	f := h.Facts()
	modules := "module " + missing[0]
	if len(missing) > 1 {
		modules = "modules " + names(missing)
	}
	evidence := fmt.Sprintf("kernel %s has no %s", f.Kernel, modules)
	switch extra := moreModules(f); {
	case f.Lacks("modprobe"):
		return check.Finding{
			Severity: check.Unknown,
			Evidence: fmt.Sprintf("without modprobe slipway cannot tell whether kernel %s has the %s, which %s not loaded", f.Kernel, modules, isOrAreNot(missing)),
			Fix:      install(f, distro.Kmod),
		}
	case f.ModulesUnreadable:
		return check.Finding{
			Severity: check.Unknown,
			Evidence: fmt.Sprintf("/lib/modules/%s and the configuration of the kernel cannot be read: slipway cannot tell whether it has the %s", f.Kernel, modules),
			Fix:      "reboot, if an upgrade has deleted the modules of the running kernel; else check: modprobe -a " + strings.Join(missing, " "),
		}
	case f.Exists(facts.SystemdInContainer):
		return check.Finding{Evidence: evidence, Fix: "on the computer that the container runs on: modprobe -a " + strings.Join(missing, " ")}
	case extra != "":
		return cc.lackExtraModules(h, evidence, extra)
	}
	return check.Finding{Evidence: evidence, Fix: kernelPackage(f)}
}

// isOrAreNot is the verb between modules and "not loaded".
func isOrAreNot(modules []string) string {
	if len(modules) == 1 {
		return "is"
	}
	return "are"
}

// moreModules returns the package of the distribution with further modules for the running
// kernel; empty if it has none.
func moreModules(f *facts.Facts) string {
	family, err := distro.Of(f.OS)
	if err != nil {
		return ""
	}
	return family.MoreModules(f.Kernel)
}

// lackExtraModules is the finding about modules that a package of the distribution may
// have, which apply installs.
func (cc *checkContext) lackExtraModules(h *workflow.Host, evidence, extra string) check.Finding {
	switch problem, asked := cc.moreModules[h.Config.Name]; {
	case !asked:
		return check.Finding{
			Severity: check.Unknown,
			Evidence: evidence + ", and the package repositories were not asked for " + extra,
			Fix:      "dnf install -y " + extra,
		}
	case problem != "":
		return check.Finding{
			Evidence: evidence + ", and " + problem,
			Fix: "give the host access to its package mirror; if the mirror has only a newer kernel: " +
				"dnf upgrade -y 'kernel*' && dnf install -y kernel-modules-extra && reboot",
		}
	}
	return check.Finding{Severity: check.Info, Evidence: evidence, Fix: "nothing: slipway installs " + extra}
}

// kernelPackage returns the command that installs a kernel with all modules.
func kernelPackage(f *facts.Facts) string {
	switch {
	case f.OS.ID == "ubuntu" && strings.HasSuffix(f.Kernel, "-raspi"):
		// Until 23.10: https://docs.k3s.io/installation/requirements?os=pi
		return "apt-get install -y linux-modules-extra-raspi"
	case f.OS.ID == "ubuntu":
		return "apt-get install -y linux-modules-extra-" + f.Kernel
	}
	return "install the distribution's full kernel package, and boot it"
}

func ipForward(_ config.Host, f *facts.Facts) []check.Finding {
	switch value, known := f.Sysctl(facts.IPForward); {
	case !known:
		return []check.Finding{{Severity: check.Unknown, Evidence: "net.ipv4.ip_forward cannot be read", Fix: "sysctl net.ipv4.ip_forward"}}
	case value == "1":
		return nil
	case hasJournal(f):
		// An error would prevent apply from setting it.
		return []check.Finding{{Evidence: "net.ipv4.ip_forward is " + value + " on a node of the cluster", Fix: "slipway apply; find what sets it: grep -r ip_forward /etc/sysctl.*"}}
	default:
		return []check.Finding{{Severity: check.Info, Evidence: "net.ipv4.ip_forward is " + value, Fix: "nothing: slipway sets it persistently"}}
	}
}

func swapReturns(_ config.Host, f *facts.Facts) []check.Finding {
	if f.Swap.Off() {
		return nil
	}
	var ways []string
	for _, way := range []struct {
		what string
		all  []string
	}{{"on now:", f.Swap.Active}, {"in /etc/fstab:", f.Swap.Fstab}, {"units:", f.Swap.Units}, {"zram-generator:", f.Swap.Zram}} {
		if len(way.all) > 0 {
			ways = append(ways, way.what+" "+strings.Join(way.all, " "))
		}
	}
	return []check.Finding{{
		Evidence: "swap is turned on: " + strings.Join(ways, "; "),
		Fix:      "nothing: slipway turns it off permanently, and reset restores it",
	}}
}

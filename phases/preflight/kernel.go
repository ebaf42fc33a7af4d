package preflight

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// kernelChecks are about the kernel and what slipway sets in it.
func kernelChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "kernel", Title: "the kernel has the required modules", Kind: check.Host, Severity: check.Error,
				Examines: "The modules overlay and nf_conntrack, and vxlan where the pod network uses it: loaded, built in or loadable.",
				Why:      "Without them, containers do not start, or Services and pod traffic between nodes fail.",
				Manual:   []string{"lsmod; modprobe -n -v overlay nf_conntrack vxlan", "apt-get install linux-modules-extra-$(uname -r)    # on Ubuntu's small kernels"},
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
			run: eachHost(brNetfilter),
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

func kernel(cc *checkContext) []check.Finding {
	modules := []string{"overlay", "nf_conntrack"}
	if cni := cc.cluster.Network.CNI; cni.Name == config.CNIFlannel && cni.Backend == config.BackendVXLAN {
		modules = append(modules, "vxlan")
	}
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		var found []check.Finding
		for _, module := range modules {
			if !has(f, module) {
				found = append(found, missing(f, module))
			}
		}
		return found
	})(cc)
}

// has reports whether the kernel has the module, or can load it.
func has(f *facts.Facts, module string) bool {
	return f.Module(module) || slices.Contains(f.Loadable, module)
}

func missing(f *facts.Facts, module string) check.Finding {
	if f.Lacks("modprobe") {
		return check.Finding{
			Severity: check.Unknown,
			Evidence: fmt.Sprintf("%s is not loaded, and without modprobe slipway cannot tell whether kernel %s has it", module, f.Kernel),
			Fix:      install(f, distro.Kmod),
		}
	}
	fix := "install the distribution's full kernel package, and boot it"
	if f.OS.ID == "ubuntu" {
		fix = "apt-get install linux-modules-extra-" + f.Kernel
	}
	return check.Finding{Evidence: fmt.Sprintf("kernel %s has no module %s", f.Kernel, module), Fix: fix}
}

func brNetfilter(_ config.Host, f *facts.Facts) []check.Finding {
	if has(f, "br_netfilter") {
		return nil
	}
	return []check.Finding{missing(f, "br_netfilter")}
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

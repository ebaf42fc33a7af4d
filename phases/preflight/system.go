package preflight

import (
	"fmt"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// systemChecks are about the operating system and the programs that run on it.
func systemChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "init-system", Title: "systemd is the init system", Kind: check.Host, Severity: check.Error,
				Examines: "The name of process 1.",
				Why:      "kubelet, containerd and slipway's long steps are systemd units.",
				Manual:   []string{"cat /proc/1/comm"},
			},
			run: eachHost(initSystem),
		},
		{
			Description: check.Description{
				Name: "distribution", Title: "the distribution is supported", Kind: check.Host, Severity: check.Error,
				Examines: "ID and ID_LIKE in /etc/os-release.",
				Why:      "Package managers, names of packages and firewalls differ; slipway supports the families of Debian and Red Hat.",
				Manual:   []string{". /etc/os-release; echo $ID $ID_LIKE"},
			},
			run: eachHost(distribution),
		},
		{
			Description: check.Description{
				Name: "selinux", Title: "SELinux works with what slipway installs", Kind: check.Host, Severity: check.Warning,
				Examines: "/sys/fs/selinux/enforce, and the program restorecon.",
				Why: "systemd refuses programs and units with the wrong file context. slipway gives each file that it writes the context of the " +
					"policy. Containers are not confined by SELinux, since containerd's enable_selinux stays off: kubeadm's pods and most pod " +
					"networks need files of the host.",
				Manual: []string{"getenforce; command -v restorecon", "restorecon -Rv /usr/local/bin /opt/cni /etc/kubernetes /etc/containerd /etc/systemd/system"},
			},
			run: eachHost(selinux),
		},
		{
			Description: check.Description{
				Name: "architecture", Title: "the architecture is supported", Kind: check.Host, Severity: check.Error,
				Examines: "The architecture that uname reports.",
				Why:      "Bundles hold binaries and images for amd64 and arm64.",
				Manual:   []string{"uname -m"},
			},
			run: eachHost(architecture),
		},
		{
			Description: check.Description{
				Name: "tar", Title: "tar is installed", Kind: check.Host, Severity: check.Error,
				Examines: "The program tar on the PATH.",
				Why:      "slipway uploads binaries in a tar stream, which the host extracts.",
				Manual:   []string{"command -v tar", "apt-get install -y tar    # dnf install -y tar on RHEL-like systems"},
			},
			run: eachHost(tar),
		},
		{
			Description: check.Description{
				Name: "cgroup-v1", Title: "the host uses cgroup v2", Kind: check.Host, Severity: check.Error,
				Examines: "The file system of /sys/fs/cgroup.",
				Why:      "kubelet refuses to start on cgroup v1 since 1.35, unless failCgroupV1 is false.",
				Manual:   []string{"stat -fc %T /sys/fs/cgroup    # cgroup2fs", "grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1 && reboot"},
			},
			run: cgroupV1,
		},
		cgroupControllersCheck(),
		{
			Description: check.Description{
				Name: "package-lock", Title: "the package manager is not locked", Kind: check.Host, Severity: check.Warning,
				Examines: "The locks of dpkg and rpm, and the processes that hold them.",
				Why: "An upgrade in the background changes the host during the installation, and blocks the package manager. slipway waits " +
					"up to 15 minutes for it where it installs packages.",
				Manual: []string{"fuser -v /var/lib/dpkg/lock-frontend", "systemctl stop unattended-upgrades"},
			},
			run: eachHost(packageLock),
		},
		{
			Description: check.Description{
				Name: "package-hold", Title: "packages of Kubernetes and containerd are held", Kind: check.Host, Severity: check.Warning,
				Examines: "Packages of kubelet, kubeadm, kubectl, containerd and CRI-O that are installed and not held.",
				Why:      "An upgrade can replace the cluster's containerd or kubelet days later, and break the cluster.",
				Manual:   []string{"apt-mark showhold", "apt-mark hold containerd kubelet"},
			},
			run: eachHost(packageHold),
		},
		{
			Description: check.Description{
				Name: "hostname-loopback", Title: "the host name does not resolve to a loopback address", Kind: check.Host, Severity: check.Info,
				Examines: "Lines in /etc/hosts that map the host's own name to 127.0.0.0/8, as in Vagrant boxes.",
				Why:      "A program that listens on its own host name would listen on 127.0.1.1, which no other host can reach.",
				Manual:   []string{"getent hosts $(hostname)", "sed -i '/^127\\.0\\.1\\.1/d' /etc/hosts"},
			},
			run: eachHost(hostnameLoopback),
		},
		{
			Description: check.Description{
				Name: "inotify", Title: "inotify limits are high enough", Kind: check.Host, Severity: check.Info,
				Examines: "fs.inotify.max_user_instances and max_user_watches.",
				Why:      "kubelet and log collectors fail with \"too many open files\" with the default limits of a desktop.",
				Manual:   []string{"sysctl fs.inotify.max_user_instances fs.inotify.max_user_watches", "sysctl -w fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288"},
			},
			run: eachHost(inotify),
		},
		proxyCheck(),
	}
}

func initSystem(_ config.Host, f *facts.Facts) []check.Finding {
	if f.Init == "systemd" {
		return nil
	}
	return []check.Finding{{Evidence: fmt.Sprintf("process 1 is %q", f.Init), Fix: "use a distribution that runs systemd, such as Debian, Ubuntu or Rocky"}}
}

func architecture(_ config.Host, f *facts.Facts) []check.Finding {
	if f.Arch == "amd64" || f.Arch == "arm64" {
		return nil
	}
	return []check.Finding{{Evidence: "the architecture is " + f.Arch, Fix: "use amd64 or arm64 hosts"}}
}

func tar(_ config.Host, f *facts.Facts) []check.Finding {
	if f.Command("tar") {
		return nil
	}
	return []check.Finding{{Evidence: "tar is not installed", Fix: install(f, distro.Tar)}}
}

// cgroupV1: kubelet refuses to start on cgroup v1 since 1.35 by default
// (kubelet.config.k8s.io/v1beta1, failCgroupV1).
func cgroupV1(cc *checkContext) []check.Finding {
	if allowed, set := cc.cluster.Kubernetes.KubeletConfiguration["failCgroupV1"].(bool); set && !allowed {
		return nil
	}
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		switch f.CgroupVersion {
		case 2:
			return nil
		case 0:
			return []check.Finding{{Severity: check.Unknown, Evidence: "/sys/fs/cgroup cannot be read", Fix: "stat -fc %T /sys/fs/cgroup"}}
		}
		return []check.Finding{{
			Evidence: "/sys/fs/cgroup is cgroup v1, with which kubelet refuses to start",
			Fix:      "boot with systemd.unified_cgroup_hierarchy=1, or set kubernetes.kubeletConfiguration.failCgroupV1: false",
		}}
	})(cc)
}

func distribution(_ config.Host, f *facts.Facts) []check.Finding {
	if _, err := distro.Of(f.OS); err != nil {
		return []check.Finding{{Evidence: err.Error(), Fix: "use one of those, or ignore this check with preflight.ignore and a reason in the inventory"}}
	}
	return nil
}

func selinux(_ config.Host, f *facts.Facts) []check.Finding {
	switch {
	case f.SELinux == "":
		return nil
	case !f.Command("restorecon"):
		return []check.Finding{{
			Evidence: "SELinux is " + f.SELinux + ", and restorecon, which sets the contexts of files, is not installed",
			Fix:      install(f, distro.Restorecon),
		}}
	case f.SELinux != "enforcing":
		return nil
	}
	return []check.Finding{{
		Severity: check.Info, Evidence: "SELinux is enforcing",
		Fix: "nothing: slipway sets the contexts of its files; SELinux does not confine containers",
	}}
}

func packageLock(_ config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	for _, holder := range f.Software.PackageLocks {
		found = append(found, check.Finding{
			Evidence: holder + " holds the package manager's lock",
			Fix:      "nothing, if it ends within 15 minutes; or: systemctl stop unattended-upgrades",
		})
	}
	return found
}

func packageHold(_ config.Host, f *facts.Facts) []check.Finding {
	var free []string
	for _, p := range f.Software.Packages {
		// kubectl is a tool of people, and replaces nothing that runs.
		if !p.Held && p.Name != "kubectl" {
			free = append(free, p.Name)
		}
	}
	if len(free) == 0 {
		return nil
	}
	fix := "hold them"
	if family, err := distro.Of(f.OS); err == nil {
		fix = family.Hold(free...)
	}
	return []check.Finding{{
		Evidence: "packages that an upgrade may replace or start: " + names(free),
		Fix:      fix + ", or remove them: slipway installs its own",
	}}
}

func hostnameLoopback(_ config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	for _, entry := range f.Loopback {
		if strings.HasPrefix(entry, "127.0.0.1 ") && f.Hostname == "localhost" {
			continue
		}
		found = append(found, check.Finding{
			Evidence: "/etc/hosts has " + entry,
			Fix:      "nothing: slipway adds the nodes to /etc/hosts and uses addresses; or remove the line",
		})
	}
	return found
}

// What slipway raises the limits to (phase kernel).
const (
	inotifyInstances = 8192
	inotifyWatches   = 524288
)

func inotify(_ config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	for _, limit := range []struct {
		name facts.Sysctl
		want int
	}{{facts.InotifyInstances, inotifyInstances}, {facts.InotifyWatches, inotifyWatches}} {
		have := 0
		value, _ := f.Sysctl(limit.name)
		if _, err := fmt.Sscan(value, &have); err != nil || have >= limit.want {
			continue
		}
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("%s is %d", limit.name, have),
			Fix:      fmt.Sprintf("nothing: slipway raises it to %d", limit.want),
		})
	}
	return found
}

// hasJournal reports whether slipway has worked on the host.
func hasJournal(f *facts.Facts) bool { return f.Exists(facts.Journal) }

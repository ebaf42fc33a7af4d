package preflight

import (
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// requiredControllers are those without which kubeadm refuses a host and kubelet does not
// start (k8s.io/system-validators).
var requiredControllers = []string{"cpu", "cpuset", "memory", "pids"}

// cgroupControllersCheck is about the controllers of cgroups, one of which the kernel of
// Raspberry Pi OS has off by default.
func cgroupControllersCheck() Check {
	return Check{
		Description: check.Description{
			Name: "cgroup-controllers", Title: "the controllers of cgroups are enabled", Kind: check.Host, Severity: check.Error,
			Examines: "/sys/fs/cgroup/cgroup.controllers, or /proc/cgroups with cgroup v1: cpu, cpuset, memory and pids.",
			Why:      "kubelet does not start without them. Raspberry Pi OS turns the memory controller off by default.",
			Manual: []string{
				"cat /sys/fs/cgroup/cgroup.controllers",
				"sed -i '1 s/$/ cgroup_enable=memory cgroup_memory=1/' /boot/firmware/cmdline.txt && reboot    # on a Raspberry Pi",
			},
		},
		run: eachHost(cgroupControllers),
	}
}

func cgroupControllers(_ config.Host, f *facts.Facts) []check.Finding {
	if len(f.Controllers) == 0 {
		return []check.Finding{{
			Severity: check.Unknown, Evidence: "the controllers of cgroups cannot be read", Fix: "cat /sys/fs/cgroup/cgroup.controllers /proc/cgroups",
		}}
	}
	missing := slices.DeleteFunc(slices.Clone(requiredControllers), func(c string) bool { return slices.Contains(f.Controllers, c) })
	if len(missing) == 0 {
		return nil
	}
	return []check.Finding{{Evidence: "the kernel has no cgroup controller " + names(missing), Fix: enableControllers(f, missing)}}
}

// enableControllers returns the commands that enable controllers at boot.
func enableControllers(f *facts.Facts, missing []string) string {
	if slices.Contains(missing, "memory") {
		for _, path := range []facts.Path{facts.FirmwareCmdline, facts.BootCmdline} {
			if f.Exists(path) {
				return "sed -i '1 s/$/ cgroup_enable=memory cgroup_memory=1/' " + string(path) + " && reboot"
			}
		}
	}
	return "remove cgroup_disable= from the arguments of the kernel (cat /proc/cmdline), or add cgroup_enable=" + strings.Join(missing, ",") + ", and reboot"
}

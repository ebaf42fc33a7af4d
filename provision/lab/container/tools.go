package container

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
)

// ensureTools verifies that localhost has the programs that labs need.
func (s *session) ensureTools(ctx context.Context, install bool) error {
	missing := missingPackages(func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	})
	if len(missing) == 0 {
		return nil
	}
	if !install {
		return fmt.Errorf("missing packages: install them with --install-missing, or: apt-get install %s", strings.Join(missing, " "))
	}
	s.Logf("", "installs %s", strings.Join(missing, ", "))
	argv := append([]string{"apt-get", "install", "--yes", "--no-install-recommends"}, missing...)
	_, err := localhost.Command{Argv: argv, Env: []string{"DEBIAN_FRONTEND=noninteractive"}}.Run(ctx)
	return err
}

// missingPackages lists the Debian packages of missing programs.
func missingPackages(has func(program string) bool) []string {
	var missing []string
	for _, need := range []struct{ program, pkg string }{
		{"debootstrap", "debootstrap"},
		{"systemd-nspawn", "systemd-container"},
		{"ip", "iproute2"},
	} {
		if !has(need.program) {
			missing = append(missing, need.pkg)
		}
	}
	slices.Sort(missing)
	return missing
}

// bootedWithSystemd is sd_booted(3).
func bootedWithSystemd() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// cgroupV1 reports that localhost does not have the unified hierarchy at the usual
// place, cgroups(7).
func cgroupV1() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err != nil
}

// lacksCapability reports whether a capability is missing from the bounding set in
// /proc/PID/status: no machine can have it either.
func lacksCapability(status string, capability int) bool {
	for line := range strings.Lines(status) {
		value, found := strings.CutPrefix(line, "CapBnd:")
		if !found {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		return err == nil && set&(1<<capability) == 0
	}
	return false
}

// sharedKernel describes the kernel that the machines share.
func sharedKernel() (*lab.SharedKernel, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	_, err = os.Stat("/sys/class/dmi/id/product_uuid")
	return &lab.SharedKernel{
		CgroupV1:      cgroupV1(),
		NoSysResource: lacksCapability(string(status), capSysResource),
		SharedUUID:    err == nil,
	}, nil
}

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

// ensureTools looks for the programs that a lab needs on the outer machine.
func (s *session) ensureTools(ctx context.Context, install bool) error {
	missing := missingPackages(func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	})
	if len(missing) == 0 {
		return nil
	}
	if !install {
		return fmt.Errorf("this machine lacks the packages %[1]s: apt-get install %[1]s", strings.Join(missing, " "))
	}
	s.Say("", "installs %s", strings.Join(missing, ", "))
	argv := append([]string{"apt-get", "install", "--yes", "--no-install-recommends"}, missing...)
	_, err := localhost.Command{Argv: argv, Env: []string{"DEBIAN_FRONTEND=noninteractive"}}.Run(ctx)
	return err
}

// missingPackages names the Debian packages whose programs are not there.
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

// bootedWithSystemd: systemd runs the outer machine, sd_booted(3).
func bootedWithSystemd() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// cgroupV1: the outer machine does not have the unified hierarchy at the usual
// place, cgroups(7).
func cgroupV1() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err != nil
}

// lacksCapability says whether a capability is outside the bounding set in a
// /proc/PID/status, so that no machine can have it either.
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

// sharedKernel is what the machines take from the outer one.
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

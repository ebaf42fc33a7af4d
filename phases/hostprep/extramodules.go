package hostprep

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/workflow"
)

// extraModules installs the package with the modules that the default packages of the
// kernel leave out, if the host needs one of them. The package is that of the running
// kernel: without its release, the package manager would install a newer kernel, whose
// modules the running one cannot load.
func extraModules(ctx context.Context, s *workflow.Step) error {
	f := s.Facts()
	missing := f.Lacking(s.Cluster().KernelModules(s.Target.Config))
	family, err := distro.Of(f.OS)
	if len(missing) == 0 || f.FixedKernel() || err != nil || family.MoreModules(f.Kernel) == "" {
		return nil // preflight has reported what is missing
	}
	extra := family.MoreModules(f.Kernel)
	if err := s.InstallPackages(ctx, family, extra); err != nil {
		return workflow.WithHint(err, family.Remedy(err, extra)+"; if the mirror has only a newer kernel, a reboot is needed: "+
			"dnf upgrade -y 'kernel*' && dnf install -y kernel-modules-extra && reboot")
	}
	if s.Planning() {
		return nil
	}
	_, err = s.Query(ctx, host.Cmd{Argv: append([]string{"modprobe", "--dry-run", "--all"}, missing...), Sudo: true})
	if err != nil {
		err = fmt.Errorf("kernel %s still lacks modules after the installation of %s: %w", f.Kernel, extra, err)
	}
	return workflow.WithHint(err, "reboot the host if its kernel was upgraded; else install a kernel with "+strings.Join(missing, ", "))
}

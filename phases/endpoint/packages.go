package endpoint

import (
	"context"
	"slices"

	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/workflow"
)

// install installs the packages whose programs the host lacks, or whose installation was
// interrupted. A daemon that the package manager starts does nothing: with the
// configuration of Debian, haproxy listens on no port, and keepalived does not start. The
// journal has recorded before whether the services are enabled and active.
func install(ctx context.Context, s *workflow.Step, wanted ...distro.Package) error {
	family, err := distro.Of(s.Facts().OS)
	missing := slices.DeleteFunc(slices.Clone(wanted), func(p distro.Package) bool {
		unfinished := err == nil && slices.Contains(s.Facts().Software.Unfinished, family.Names(p)[0])
		return s.Facts().Command(string(p)) && !unfinished
	})
	if len(missing) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	names := family.Names(missing...)
	err = s.InstallPackages(ctx, family, names...)
	return workflow.WithHint(err, family.Remedy(err, names...))
}

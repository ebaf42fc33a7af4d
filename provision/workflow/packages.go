package workflow

import (
	"context"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/templates"
)

// InstallPackages installs packages by the family's names, through the proxy of the
// inventory. What the package manager waits for is the progress of the phase. Callers add
// the hint to errors: family.Remedy.
func (s *Step) InstallPackages(ctx context.Context, family distro.Family, names ...string) error {
	cmd, err := s.Proxy().Through(host.Script("packages.sh", templates.Script(family.Script), names...))
	if err != nil {
		return err
	}
	cmd.Output = s.Output()
	_, err = s.Run(ctx, cmd)
	return err
}

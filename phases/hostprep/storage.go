package hostprep

import (
	"context"
	"errors"
	"slices"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	iscsiModules  = "/etc/modules-load.d/slipway-iscsi.conf"
	multipathConf = "/etc/multipath/conf.d/slipway-longhorn.conf"
	initiatorName = "/etc/iscsi/initiatorname.iscsi"
)

// Storage prepares a host for the storage addons of the inventory.
func Storage() workflow.Phase {
	return workflow.Phase{
		Name:  "storage",
		Title: "prepare the host for volumes",
		Why: "Longhorn attaches volumes over iSCSI and mounts shared volumes over NFS. Without the daemon, the module and " +
			"the programs, its pods crash or its volumes hang. multipathd claims its disks unless it is configured not to.",
		Manual: []string{
			"apt-get install -y open-iscsi nfs-common    # iscsi-initiator-utils and nfs-utils on RHEL-like systems",
			"echo iscsi_tcp > /etc/modules-load.d/slipway-iscsi.conf && modprobe iscsi_tcp",
			"systemctl enable --now iscsid",
			"printf 'blacklist {\\n  devnode \"^sd[a-z0-9]+\"\\n}\\n' > /etc/multipath/conf.d/slipway-longhorn.conf && systemctl restart multipathd    # where it runs",
		},
		On: workflow.Nodes,
		// kernel installs packages too, and a package may have the module for iSCSI.
		Needs: []string{"kernel"},
		Enabled: func(c *config.Cluster) bool {
			return len(storageOf(c)) > 0
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			for _, a := range storageOf(s.Cluster()) {
				if a.Name == config.AddonLonghorn {
					if err := iscsi(ctx, s); err != nil {
						return err
					}
				}
				if err := volumeFolder(ctx, s, a.VolumePath()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// storageOf returns the addons that keep volumes on the hosts.
func storageOf(c *config.Cluster) []config.Addon {
	var all []config.Addon
	for _, a := range c.Addons {
		if a.VolumePath() != "" {
			all = append(all, a)
		}
	}
	return all
}

// volumeFolder creates the directory of the volumes. Reset deletes it only if it is
// empty, and reports it otherwise.
func volumeFolder(ctx context.Context, s *workflow.Step, path string) error {
	_, err := s.Query(ctx, host.Cmd{Argv: []string{"test", "-d", path}, Sudo: true})
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 { // test fails with 2
		return err
	}
	_, err = s.Run(ctx, host.Cmd{
		Argv: []string{"mkdir", "-p", path},
		Undo: []string{"rmdir", path},
		Sudo: true,
	})
	return err
}

// iscsi installs and starts what Longhorn needs on the host.
func iscsi(ctx context.Context, s *workflow.Step) error {
	if err := packages(ctx, s); err != nil {
		return err
	}
	if _, err := host.EnsureFiles(ctx, s, host.File{Path: iscsiModules, Content: templates.File("hostprep/iscsi-modules.conf")}); err != nil {
		return err
	}
	if !s.Facts().Module("iscsi_tcp") {
		if _, err := s.Run(ctx, host.Cmd{Argv: []string{"modprobe", "iscsi_tcp"}, Sudo: true}); err != nil {
			return workflow.WithHint(err, "install a kernel with iscsi_tcp; minimal cloud kernels lack it")
		}
	}
	if !s.Facts().Exists(facts.InitiatorName) {
		if _, err := s.Run(ctx, host.Script("initiator-name.sh", templates.Script("hostprep/initiator-name.sh"))); err != nil {
			return err
		}
	}
	if err := (systemd.Service{Name: "iscsid"}).Ensure(ctx, s); err != nil {
		return err
	}
	return multipath(ctx, s)
}

// packages installs the packages whose programs the host lacks, or whose
// installation was interrupted.
func packages(ctx context.Context, s *workflow.Step) error {
	family, err := distro.Of(s.Facts().OS)
	unfinished := func(p distro.Package) bool {
		return err == nil && slices.Contains(s.Facts().Software.Unfinished, family.Names(p)[0])
	}
	var missing []distro.Package
	if !s.Facts().Command("iscsiadm") || unfinished(distro.ISCSI) {
		missing = append(missing, distro.ISCSI)
	}
	if !s.Facts().Command("mount.nfs") || unfinished(distro.NFSClient) {
		missing = append(missing, distro.NFSClient)
	}
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

// multipath configures multipathd, where it runs, to ignore Longhorn's disks.
func multipath(ctx context.Context, s *workflow.Step) error {
	if !s.Facts().Active("multipathd.service") {
		return nil
	}
	changed, err := host.EnsureFiles(ctx, s, host.File{Path: multipathConf, Content: templates.File("hostprep/multipath.conf")})
	if err != nil || !changed {
		return err
	}
	_, err = s.Run(ctx, host.Cmd{Argv: []string{"systemctl", "restart", "multipathd"}, Sudo: true})
	return err
}

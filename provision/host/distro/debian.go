package distro

func debian() Family {
	return Family{
		Name: "debian", ids: []string{"debian", "ubuntu"},
		Script: "hostprep/packages-debian.sh", install: "apt-get install -y", hold: "apt-mark hold",
		unlock: "systemctl stop unattended-upgrades apt-daily.service apt-daily-upgrade.service",
		packages: map[Package]string{
			ISCSI: "open-iscsi", NFSClient: "nfs-common", Kmod: "kmod", IPRoute: "iproute2",
			Tar: "tar", HAProxy: "haproxy", Keepalived: "keepalived",
			Restorecon: "policycoreutils",
		},
		Firewall: Firewall{Name: "ufw", Script: "hostprep/firewall-ufw.sh", open: "ufw allow ", between: ":"},
	}
}

package distro

func debian() Family {
	return Family{
		Name: "debian", ids: []string{"debian", "ubuntu"},
		Script: "hostprep/packages-debian.sh", install: "apt-get install -y", hold: "apt-mark hold",
		packages: map[Package]string{
			ISCSI: "open-iscsi", NFSClient: "nfs-common", Kmod: "kmod", IPRoute: "iproute2",
			Tar: "tar", HAProxy: "haproxy", Keepalived: "keepalived",
		},
		Firewall: Firewall{Name: "ufw", Script: "hostprep/firewall-ufw.sh", open: "ufw allow ", between: ":"},
	}
}

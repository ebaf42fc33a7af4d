package distro

func redHat() Family {
	return Family{
		Name: "rhel", ids: []string{"rhel", "fedora", "centos", "rocky", "almalinux"},
		Script: "hostprep/packages-redhat.sh", install: "dnf install -y", hold: "dnf versionlock add",
		unlock: "systemctl stop packagekit dnf-makecache.service dnf-automatic.service",
		packages: map[Package]string{
			ISCSI: "iscsi-initiator-utils", NFSClient: "nfs-utils", Kmod: "kmod", IPRoute: "iproute",
			Tar: "tar", HAProxy: "haproxy", Keepalived: "keepalived",
			Restorecon: "policycoreutils",
		},
		moreModules: "kernel%s-modules-extra",
		Firewall: Firewall{
			Name: "firewalld", Script: "hostprep/firewall-firewalld.sh", unit: "firewalld.service",
			open: "firewall-cmd --permanent --add-port=", between: "-", reload: "firewall-cmd --reload",
		},
	}
}

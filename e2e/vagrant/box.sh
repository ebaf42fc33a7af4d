#!/bin/sh
# Builds a Vagrant box of Debian for libvirt, for computers that cannot download one,
# and prints its path. The box is cached until this script changes.
#
#   e2e/vagrant/box.sh [--install]
#
# The box is as bare as a published one: systemd, sshd, a user vagrant, swap in fstab.
# Its Vagrantfile runs it in QEMU without KVM, without a boot loader, and on a network
# without a way out. /srv/packages is an apt repository of the packages that slipway
# and the tests install.
#
# Needs root on Debian; --install installs missing packages for this script.
set -eu

suite=bookworm
need="debootstrap e2fsprogs qemu-utils fdisk util-linux apt-utils"
# A minimal server, with a kernel.
include=ca-certificates,curl,dbus,e2fsprogs,ethtool,iproute2,iptables,iputils-ping,kmod,less,linux-image-cloud-amd64
include=$include,multipath-tools,openssh-server,perl,procps,python3,socat,conntrack,sudo,systemd,systemd-sysv,udev,util-linux
# Packages that are installed on the machines later.
later="open-iscsi nfs-common nfs-kernel-server tgt"
root_mib=20480
swap_mib=512

self=$(readlink -f "$0")
key=$(sha256sum "$self" | cut -c1-16)
boxes=${XDG_CACHE_HOME:-$HOME/.cache}/slipway/boxes
box=$boxes/debian-12-$key.box
if [ -f "$box" ]; then
	printf '%s\n' "$box"
	exit
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "debootstrap needs root: run this script with sudo" >&2
	exit 1
fi
# shellcheck disable=SC2086
"${self%/*}/../packages.sh" "$@" $need
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
	awk -v suite=$suite '$2 == suite && $3 == "main" { print $1; exit }')

mkdir -p "$boxes"
work=$(mktemp -d "$boxes/.building-XXXXXX")
trap 'rm -rf "$work"' EXIT
tree=$work/tree
echo "builds the box $box (takes some minutes, once)" >&2
debootstrap --variant=minbase --include="$include" $suite "$tree" "$mirror" >"$work/debootstrap.log" ||
	{ tail -20 "$work/debootstrap.log" >&2; exit 1; }

# shellcheck disable=SC2086
chroot "$tree" apt-get -q -y --no-install-recommends --download-only install $later >/dev/null
mkdir "$tree/srv/packages"
mv "$tree"/var/cache/apt/archives/*.deb "$tree/srv/packages/"
(cd "$tree/srv/packages" && apt-ftparchive packages . >Packages)
echo 'deb [trusted=yes] file:/srv/packages ./' >"$tree/etc/apt/sources.list"
rm -rf "$tree"/var/lib/apt/lists/*

chroot "$tree" useradd --create-home --shell /bin/bash vagrant
install -m 0440 /dev/stdin "$tree/etc/sudoers.d/vagrant" <<'END'
vagrant ALL=(ALL:ALL) NOPASSWD: ALL
END
# The key of every box, which Vagrant replaces at the first boot:
# https://github.com/hashicorp/vagrant/blob/main/keys/vagrant.pub
install -d -m 0700 "$tree/home/vagrant/.ssh"
cat >"$tree/home/vagrant/.ssh/authorized_keys" <<'END'
ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key
END
chmod 0600 "$tree/home/vagrant/.ssh/authorized_keys"
chroot "$tree" chown -R vagrant:vagrant /home/vagrant/.ssh

echo debian12 >"$tree/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 debian12\n' >"$tree/etc/hosts"
# Each machine creates its own identity at its first boot. With the same one, DHCP
# would assign them the same address.
: >"$tree/etc/machine-id"
rm -f "$tree/var/lib/dbus/machine-id" "$tree"/etc/ssh/ssh_host_*
ln -s /etc/machine-id "$tree/var/lib/dbus/machine-id"
cat >"$tree/etc/systemd/system/host-keys.service" <<'END'
[Unit]
Description=Create the host keys
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
END
# eth0 connects to the computer that runs the machine, which forwards nothing.
cat >"$tree/etc/systemd/network/10-eth0.network" <<'END'
[Match]
Name=eth0

[Network]
DHCP=ipv4

[DHCPv4]
UseDNS=no

[Route]
Gateway=192.168.121.1
END
printf 'LABEL=root / ext4 errors=remount-ro 0 1\nLABEL=swap none swap sw 0 0\n' >"$tree/etc/fstab"
echo 'nameserver 192.168.121.1' >"$tree/etc/resolv.conf"
chroot "$tree" systemctl -q enable host-keys systemd-networkd multipathd
chroot "$tree" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service systemd-networkd-wait-online.service

cp "$tree"/boot/vmlinuz-* "$work/vmlinuz"
cp "$tree"/boot/initrd.img-* "$work/initrd"
rm -rf "$tree"/boot/initrd* "$tree"/usr/share/doc "$tree"/usr/share/man

# One disk with two partitions, as from an installation of Debian.
truncate -s $((1 + root_mib + swap_mib + 1))M "$work/disk"
printf 'start=1MiB, size=%dMiB\ntype=swap\n' $root_mib | sfdisk -q "$work/disk"
mke2fs -q -t ext4 -L root -E "offset=1048576" -d "$tree" "$work/disk" "${root_mib}M" 2>&1 | grep -v 'contains a dos partition table' >&2 || :
truncate -s ${swap_mib}M "$work/swap"
mkswap -q -L swap "$work/swap"
dd if="$work/swap" of="$work/disk" bs=1M seek=$((1 + root_mib)) conv=notrunc,sparse status=none
qemu-img convert -O qcow2 "$work/disk" "$work/box.img"
printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d}\n' $(((root_mib + swap_mib) / 1024 + 1)) >"$work/metadata.json"
cat >"$work/Vagrantfile" <<'END'
Vagrant.configure("2") do |config|
  config.vm.boot_timeout = 900
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = "qemu"
    libvirt.cpu_mode = "custom"
    # With AES and SSE 4, which QEMU emulates faster than code without them.
    libvirt.cpu_model = "Westmere"
    libvirt.kernel = File.expand_path("vmlinuz", __dir__)
    libvirt.initrd = File.expand_path("initrd", __dir__)
    # The machines are disposable: no write waits for the disk.
    libvirt.disk_driver cache: "unsafe"
    # Linux does not trust an emulated TSC. Each read of another clock and each
    # change of a timer is an exit from the emulated processor.
    libvirt.cmd_line = "root=LABEL=root console=ttyS0 net.ifnames=0 mitigations=off tsc=reliable clocksource=tsc highres=off"
    libvirt.management_network_address = "192.168.121.0/24"
    libvirt.management_network_mode = "none"
  end
end
END
tar -C "$work" -czf "$work/new.box" metadata.json Vagrantfile vmlinuz initrd box.img
mv "$work/new.box" "$box"
printf '%s\n' "$box"

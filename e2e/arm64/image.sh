#!/bin/sh
# Builds a virtual machine of Debian for arm64 on a computer of another architecture, and
# prints the directory of its files: vmlinuz, initrd, disk.qcow2, and id_ed25519 and
# known_hosts for SSH. They are cached until this script changes.
#
#   e2e/arm64/image.sh [--install]
#
# The programs of the machine run with QEMU's user mode while it is built: the kernel gets
# the interpreter for as long (binfmt_misc).
#
# Needs root on Debian; --install installs missing packages for this script.
set -eu

suite=bookworm
need="debootstrap e2fsprogs qemu-utils qemu-user-static openssh-client"
# A minimal server.
include=ca-certificates,dbus,e2fsprogs,ethtool,iproute2,iptables,iputils-ping,kmod,less,openssh-server,perl
include=$include,procps,socat,conntrack,sudo,systemd,systemd-sysv,udev,util-linux
disk_mib=12288

self=$(readlink -f "$0")
key=$(sha256sum "$self" | cut -c1-16)
machines=${XDG_CACHE_HOME:-$HOME/.cache}/slipway/boxes
machine=$machines/debian-12-arm64-$key
if [ -d "$machine" ]; then
	printf '%s\n' "$machine"
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

mkdir -p "$machines"
work=$(mktemp -d "$machines/.building-XXXXXX")
tree=$work/tree
binfmt=/proc/sys/fs/binfmt_misc
registered=
clean_up() {
	[ -z "$registered" ] || echo -1 >"$binfmt/qemu-aarch64"
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "builds the machine $machine (takes some minutes, once)" >&2
[ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt"
if [ ! -e "$binfmt/qemu-aarch64" ]; then
	cat /usr/lib/binfmt.d/qemu-aarch64.conf >"$binfmt/register"
	registered=yes
fi

mkdir -p "$work/new"
debootstrap --arch=arm64 --variant=minbase --include="$include" $suite "$tree" "$mirror" >"$work/debootstrap.log" ||
	{ tail -20 "$work/debootstrap.log" >&2; exit 1; }
# The initrd mounts the disk, and has nothing else.
install -d "$tree/etc/initramfs-tools/conf.d"
echo MODULES=list >"$tree/etc/initramfs-tools/conf.d/modules"
printf 'virtio_pci\nvirtio_blk\next4\n' >"$tree/etc/initramfs-tools/modules"
chroot "$tree" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold \
	install linux-image-cloud-arm64 initramfs-tools zstd >"$work/kernel.log" 2>&1 || { tail -20 "$work/kernel.log" >&2; exit 1; }

chroot "$tree" useradd --create-home --shell /bin/bash slipway
install -m 0440 /dev/stdin "$tree/etc/sudoers.d/slipway" <<'END'
slipway ALL=(ALL:ALL) NOPASSWD: ALL
END
ssh-keygen -q -t ed25519 -N '' -C slipway-e2e -f "$work/new/id_ed25519"
install -d -m 0700 "$tree/home/slipway/.ssh"
install -m 0600 "$work/new/id_ed25519.pub" "$tree/home/slipway/.ssh/authorized_keys"
chroot "$tree" chown -R slipway:slipway /home/slipway/.ssh
rm -f "$tree"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C kmaster -f "$tree/etc/ssh/ssh_host_ed25519_key"
printf '192.0.2.2 %s\n' "$(cut -d ' ' -f 1,2 "$tree/etc/ssh/ssh_host_ed25519_key.pub")" >"$work/new/known_hosts"

echo kmaster >"$tree/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 kmaster\n' >"$tree/etc/hosts"
# eth0 connects to the network namespace of the test, which forwards nothing.
cat >"$tree/etc/systemd/network/10-eth0.network" <<'END'
[Match]
Name=eth0

[Network]
Address=192.0.2.2/24
Gateway=192.0.2.1
END
echo 'LABEL=root / ext4 errors=remount-ro 0 1' >"$tree/etc/fstab"
echo 'nameserver 192.0.2.1' >"$tree/etc/resolv.conf"
chroot "$tree" systemctl -q enable systemd-networkd
chroot "$tree" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service systemd-networkd-wait-online.service

cp "$tree"/boot/vmlinuz-* "$work/new/vmlinuz"
cp "$tree"/boot/initrd.img-* "$work/new/initrd"
rm -rf "$tree"/boot/initrd* "$tree"/usr/share/doc "$tree"/usr/share/man "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
truncate -s ${disk_mib}M "$work/disk"
mke2fs -q -t ext4 -L root -d "$tree" "$work/disk"
qemu-img convert -O qcow2 "$work/disk" "$work/new/disk.qcow2"
mv "$work/new" "$machine"
printf '%s\n' "$machine"

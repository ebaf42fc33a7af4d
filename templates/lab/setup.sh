#!/bin/sh
# Turns a fresh debootstrap tree into the base of all lab machines. Runs once, in
# the tree (chroot), after the files below tree/ were laid into it.
set -eu

useradd --create-home --shell /bin/bash --uid 1000 slipway
# No password, yet not locked: sshd may let a key in.
usermod --password '*' slipway

# Each machine gets its own identity.
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
rm -f /etc/hostname

# It comes with every kernel; kube-proxy mounts it, and the container runtime
# would make it where it is missing.
mkdir -p /usr/lib/modules

systemctl enable slipway-lab-machine.service slipway-lab-network.service

# Nothing reaches a package mirror from a lab, and there is no console.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer console-getty.service \
	systemd-networkd.service systemd-networkd-wait-online.service; do
	systemctl mask "$unit"
done

# Every byte here is copied once for each machine.
rm -rf /var/cache/apt/archives /var/lib/apt/lists /usr/share/doc /usr/share/man /usr/share/info
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial
find /usr/share/locale -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +

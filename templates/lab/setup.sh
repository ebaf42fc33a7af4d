#!/bin/sh
# Turns a new debootstrap tree into the base of all lab machines. Runs once in the
# tree (chroot), after the files of tree/ are copied into it.
set -eu

useradd --create-home --shell /bin/bash --uid 1000 slipway
# No password, but not locked: sshd refuses keys of locked users.
usermod --password '*' slipway

# Each machine has its own identity.
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
rm -f /etc/hostname

# kube-proxy mounts this directory, which is part of a kernel package.
mkdir -p /usr/lib/modules

systemctl enable slipway-lab-machine.service slipway-lab-network.service

# No package mirror is reachable from a lab, and there is no console.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer console-getty.service \
	systemd-networkd.service systemd-networkd-wait-online.service; do
	systemctl mask "$unit"
done

# Each machine has a copy of all files.
rm -rf /var/cache/apt/archives /var/lib/apt/lists /usr/share/doc /usr/share/man /usr/share/info
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial
find /usr/share/locale -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +

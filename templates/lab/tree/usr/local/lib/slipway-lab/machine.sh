#!/bin/sh
# Makes a machine container look like a machine to a container runtime. Runs at
# each boot, before sshd, since mounts do not outlive one.
set -eu

# Volumes with mount propagation need a shared root, as on a machine that
# systemd booted on bare metal.
mount --make-rshared /

# systemd-nspawn mounts the controllers of cgroup v1 read-only. With cgroup v2
# there is one hierarchy, which is writable already.
for controller in /sys/fs/cgroup/*/; do
	if mountpoint -q "$controller"; then
		mount -o remount,bind,rw,nosuid,nodev,noexec "$controller"
	fi
done

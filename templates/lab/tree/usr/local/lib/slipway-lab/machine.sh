#!/bin/sh
# Prepares a machine container for a container runtime. Runs at each boot, before
# sshd.
set -eu

# Volumes with mount propagation need a shared root, which systemd sets up on real
# machines.
mount --make-rshared /

# systemd-nspawn mounts the controllers of cgroup v1 read-only; cgroup v2 is
# writable.
for controller in /sys/fs/cgroup/*/; do
	if mountpoint -q "$controller"; then
		mount -o remount,bind,rw,nosuid,nodev,noexec "$controller"
	fi
done

# On a real machine, the kernel has this directory, and Calico mounts the BPF file system
# there.
mkdir -p /sys/fs/bpf

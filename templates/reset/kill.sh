#!/bin/sh
# Kills the processes of pods that outlive their shims, where kubeadm could not stop
# the pods, and removes their control groups. Only kubelet creates these.
# Argument: where control groups are mounted.
set -eu
for group in "$1"/kubepods* "$1"/systemd/kubepods*; do
	[ -d "$group" ] || continue
	find "$group" -name cgroup.procs -exec cat {} + | while read -r pid; do
		kill -KILL "$pid" 2>/dev/null || true
	done
done
systemctl stop kubepods.slice 2>/dev/null || true

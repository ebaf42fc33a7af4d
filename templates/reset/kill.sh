#!/bin/sh
# Kills the processes of pods that outlive their shims, where kubeadm could not stop
# the pods. Only kubelet creates these control groups.
# Argument: where control groups are mounted.
set -eu
for group in "$1"/kubepods* "$1"/systemd/kubepods*; do
	[ -d "$group" ] || continue
	find "$group" -name cgroup.procs -exec cat {} + | while read -r pid; do
		kill -KILL "$pid" 2>/dev/null || true
	done
done

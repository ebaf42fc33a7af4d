#!/bin/sh
# Unmounts the volumes and the containers of the cluster's pods, and what Calico mounted,
# the deepest first.
# Argument: the list of the host's mounts.
set -eu
awk '
	$5 ~ "^/var/lib/kubelet/(pods|plugins)/" ||
	$5 ~ "^/run/containerd/io[.]containerd[.]runtime[.]v[12][^/]*/k8s[.]io/" ||
	$5 ~ "^/run/calico/" ||
	$5 ~ "^/run/containerd/io[.]containerd[.]grpc[.]v1[.]cri/" { print $5 }' "$1" |
	sort -r | while read -r mount; do
	# The kernel writes a space in a path as \040.
	umount -l "$(printf %b "$mount")" 2>/dev/null || true
done

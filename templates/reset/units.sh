#!/bin/sh
# Stops what an interrupted run of slipway left running, then kubelet: from then on, no
# container of the cluster is started.
# Argument: the directory of slipway's units, one directory for each.
set -eu
for state in "$1"/*/; do
	[ -d "$state" ] || continue
	name=${state%/}
	# systemd forgets a unit that has ended.
	systemctl stop "slipway-${name##*/}.service" 2>/dev/null || true
done
systemctl stop 'slipway-kubeadm-*.service' 2>/dev/null || true
systemctl stop kubelet.service 2>/dev/null || true

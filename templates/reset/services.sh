#!/bin/sh
# Reloads the units of systemd, and starts containerd again if another installation
# has it enabled. Prints what needs attention.
set -eu
systemctl daemon-reload
systemctl reset-failed 'slipway-*' kubelet.service containerd.service 2>/dev/null || true
if systemctl is-enabled --quiet containerd.service 2>/dev/null; then
	systemctl start containerd.service ||
		echo "containerd.service, which was installed before slipway, does not start: see journalctl -u containerd"
elif systemctl cat containerd.service >/dev/null 2>&1; then
	echo "containerd.service, which was installed before slipway, is disabled; to use it: systemctl enable --now containerd"
fi

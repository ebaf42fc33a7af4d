#!/bin/sh
# Reloads the units of systemd, and starts again what ran before slipway: containerd if
# another installation has it enabled, and the services that stop-services.sh has stopped.
# Prints what needs attention.
# Arguments: journal directory, service...
set -eu
journal=$1
shift
systemctl daemon-reload
systemctl reset-failed 'slipway-*' kubelet.service containerd.service 2>/dev/null || true
if systemctl is-enabled --quiet containerd.service 2>/dev/null; then
	systemctl start containerd.service ||
		echo "containerd.service, which was installed before slipway, does not start: see journalctl -u containerd"
elif systemctl cat containerd.service >/dev/null 2>&1; then
	echo "containerd.service, which was installed before slipway, is disabled; to use it: systemctl enable --now containerd"
fi
for service; do
	systemctl cat "$service" >/dev/null 2>&1 || continue
	if [ ! -e "$journal/services" ]; then
		# An earlier version of slipway recorded only that a service was not enabled.
		grep -qsF "\"disable\",\"--quiet\",\"--now\",\"$service\"" "$journal/entries.jsonl" ||
			echo "$service is disabled, and may have been enabled before slipway; to use it: systemctl enable --now ${service%.service}"
	elif grep -qxF "active $service" "$journal/services"; then
		systemctl restart "$service" ||
			echo "$service, which ran before slipway, does not start: see journalctl -u ${service%.service}"
	fi
done

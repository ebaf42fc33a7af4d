#!/bin/sh
# Prints why a static pod does not run on this host: the last lines of its newest log, or
# those of kubelet if it has not started.
# Argument: the name of its container.
set -eu
# shellcheck disable=SC2012 # kubelet chooses the names
log=$(ls -t /var/log/pods/kube-system_"$1"-*/"$1"/*.log 2>/dev/null | head -n 1) || true
if [ -n "$log" ]; then
	tail -n 5 "$log"
else
	journalctl --unit kubelet.service --lines 5 --no-pager --output cat 2>/dev/null || true
fi

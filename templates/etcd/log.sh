#!/bin/sh
# Prints why etcd does not run on this host: the last lines of its newest log, or those of
# kubelet if it has not started.
set -eu
# shellcheck disable=SC2012 # kubelet chooses the names
log=$(ls -t /var/log/pods/kube-system_etcd-*/etcd/*.log 2>/dev/null | head -n 1) || true
if [ -n "$log" ]; then
	tail -n 5 "$log"
else
	journalctl --unit kubelet.service --lines 5 --no-pager --output cat 2>/dev/null || true
fi

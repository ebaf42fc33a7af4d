#!/bin/sh
# The beginning of the scripts that install packages: waits while other programs hold the
# locks of the package manager, and prints "slipway: waiting for ..." meanwhile.
# Each script defines holder, which prints which process holds a lock, if one does.
# Exit code 75: the locks were not free in time.
set -eu
limit=900 # seconds; the first unattended-upgrades of a host takes minutes
waited=0

# Prints which process has locked one of the files; nothing if none has.
file_holder() {
	for lock; do
		[ -e "$lock" ] || continue
		pid=$(awk -v inode="$(stat -c %i "$lock")" '
			{ n = split($6, at, ":") }
			at[n] == inode && $5 > 0 { print $5; exit }' /proc/locks)
		[ -z "$pid" ] || {
			echo "$(cat "/proc/$pid/comm" 2>/dev/null || echo "a process that ended") (pid $pid), which holds $lock"
			return
		}
	done
}

wait_for_locks() {
	while who=$(holder) && [ -n "$who" ]; do
		[ "$waited" -lt "$limit" ] || {
			echo "the package manager is locked, after $limit s still by $who" >&2
			exit 75
		}
		[ $((waited % 10)) -ne 0 ] || echo "slipway: waiting for $who ($waited of at most $limit s)"
		sleep 1
		waited=$((waited + 1))
	done
}

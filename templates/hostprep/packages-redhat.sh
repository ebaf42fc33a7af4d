#!/bin/sh
# Installs packages with dnf, which updates expired metadata itself. Waits while other
# programs hold the locks of rpm and dnf, and prints "slipway: waiting for ..." meanwhile:
# dnf 4 waits without a limit, and dnf 5 fails at once.
# Arguments: package...
# Exit code 75: the locks were not free in time.
set -eu
locks="/var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock"
limit=900 # seconds
waited=0

# Prints which process holds a lock; nothing if none does.
holder() {
	for lock in $locks; do
		[ -e "$lock" ] || continue
		pid=$(awk -v inode="$(stat -c %i "$lock")" '
			{ n = split($6, at, ":") }
			at[n] == inode && $5 > 0 { print $5; exit }' /proc/locks)
		[ -z "$pid" ] || {
			echo "$(cat "/proc/$pid/comm" 2>/dev/null || echo "a process that ended") (pid $pid), which holds $lock"
			return
		}
	done
	for lock in /var/cache/dnf/*_lock.pid /var/lib/dnf/*_lock.pid; do
		pid=$(cat "$lock" 2>/dev/null) || continue
		# The number may be that of another program, if dnf was killed.
		program=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
		case $program in
		dnf* | yum* | python* | platform-python | packagekitd)
			echo "$program (pid $pid), which holds $lock"
			return
			;;
		esac
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

wait_for_locks
until dnf -q -y install "$@"; do
	[ -n "$(holder)" ] || exit 1
	wait_for_locks
done

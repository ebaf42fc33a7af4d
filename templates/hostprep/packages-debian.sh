#!/bin/sh
# Installs Debian packages. Updates the package lists only if the installation
# fails with the current ones. Waits while other programs hold the locks of dpkg and
# apt, and prints "slipway: waiting for ..." meanwhile.
# Arguments: package...
# Exit code 75: the locks were not free in time.
set -eu
export DEBIAN_FRONTEND=noninteractive
# needrestart would search all processes, and may restart services that slipway does not
# know.
export NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l
locks="/var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock"
limit=900 # seconds; the first unattended-upgrades of a host takes minutes
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

# Runs apt-get when all locks are free, and again if another program took one first.
# apt waits only for the locks of dpkg, not for those of its lists and its cache.
apt() {
	wait_for_locks
	until apt-get -q -y -o DPkg::Lock::Timeout=60 "$@"; do
		[ -n "$(holder)" ] || return 1
		wait_for_locks
	done
}

# Finish interrupted installations, without which apt-get refuses to run. Ignore
# errors: a broken package need not affect this installation.
wait_for_locks
dpkg --configure -a || :
apt --no-install-recommends install "$@" || {
	apt update
	apt --no-install-recommends install "$@"
}

#!/bin/sh
# Installs packages with dnf, which updates expired metadata itself, after
# package-locks.sh: dnf 4 waits for locks without a limit, and dnf 5 fails at once.
# Arguments: package...
set -eu

holder() {
	found=$(file_holder /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock)
	[ -z "$found" ] || {
		echo "$found"
		return
	}
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

wait_for_locks
until dnf -q -y install "$@"; do
	[ -n "$(holder)" ] || exit 1
	wait_for_locks
done

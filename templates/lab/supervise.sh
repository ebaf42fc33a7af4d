#!/bin/sh
# supervise.sh CGROUPS ARGUMENT...
#
# Runs systemd-nspawn with the arguments until the machine powers off, and restarts
# it after a reboot. CGROUPS are the directories of the machine's cgroups, separated
# by colons. It may be empty.
set -eu

cgroups=$1
shift

old_ifs=$IFS
IFS=:
for cgroup in $cgroups; do
	echo $$ >"$cgroup/cgroup.procs"
done
IFS=$old_ifs

# Otherwise /proc/sys and /sys are read-only, and kubelet cannot change settings.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1

# systemd-nspawn --keep-unit exits with this code when the machine reboots.
reboot=133

child=
stopping=
trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child"' TERM

while [ -z "$stopping" ]; do
	systemd-nspawn "$@" </dev/null &
	child=$!
	code=0
	wait "$child" || code=$?
	# A signal ends wait, but not the machine.
	while kill -0 "$child" 2>/dev/null; do
		code=0
		wait "$child" || code=$?
	done
	child=
	[ "$code" -eq "$reboot" ] || exit "$code"
done

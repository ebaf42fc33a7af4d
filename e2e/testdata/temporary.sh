#!/bin/sh
# Prints the transient units, processes, locks and temporary files of slipway on a
# machine. A run that has ended leaves none of them.
set -eu
systemctl list-units 'slipway-*' --all --plain --no-legend --no-pager | grep -v 'slipway-lab-' || :

# Commands of slipway have this variable.
for environment in $(grep -lsE '(^|.)SLIPWAY_COMMAND=' /proc/[0-9]*/environ || :); do
	pid=${environment#/proc/}
	pid=${pid%/environ}
	[ ! -e "/proc/$pid" ] || echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
done

[ ! -s /run/slipway/lock ] || echo "/run/slipway/lock: $(cat /run/slipway/lock)"
# The records of the services that run belong to the cluster.
find /run/slipway -mindepth 1 -path /run/slipway/services -prune -o \
	-mindepth 1 ! -name lock ! -name lock.guard -print 2>/dev/null || :
# The listings of the trees of the machines have the other file systems.
find /run /tmp /dev/shm -xdev \( -path /run/containerd -o -path /run/user \) -prune -o \
	\( -name '.slipway-*' -o -name 'slipway-probe.*' \) -print 2>/dev/null || :

#!/bin/sh
# Runs a command as on another computer: with the host name "elsewhere", and the
# machine ID and boot ID from files. Needs new mount, UTS and PID namespaces.
# Arguments: directory of the files machine-id and boot-id, command...
set -eu
dir=$1
shift
hostname elsewhere
[ ! -e /etc/machine-id ] || mount --bind "$dir/machine-id" /etc/machine-id
mount --bind "$dir/boot-id" /proc/sys/kernel/random/boot_id
exec "$@"

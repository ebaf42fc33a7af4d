#!/bin/sh
# Ends all processes that carry a mark in their environment: first politely,
# after two seconds by force. Argument: the mark, NAME=VALUE.
# sshd does not do it: it forwards signals neither to root's processes nor in a
# root login, and closing a session without a terminal signals nobody.
set -eu

marked() {
	# Processes come and go while this reads, which is no error.
	grep -lF -e "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}

signal() {
	for pid in $(marked "$2"); do
		kill -s "$1" "$pid" 2>/dev/null || true
	done
}

signal TERM "$1"
for _ in 1 2; do
	[ -n "$(marked "$1")" ] || exit 0
	sleep 1
done
signal KILL "$1"

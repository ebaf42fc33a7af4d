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

# Looked for again and again: one that was just being started has the mark too.
i=0
while [ "$i" -lt 40 ]; do
	pids=$(marked "$1")
	[ -n "$pids" ] || exit 0
	case $i in
	0 | 10) signal=TERM ;;
	2? | 3?) signal=KILL ;;
	*) signal= ;;
	esac
	for pid in $pids; do
		[ -z "$signal" ] || kill -s "$signal" "$pid" 2>/dev/null || true
	done
	i=$((i + 1))
	sleep 0.1 2>/dev/null || sleep 1 # POSIX knows whole seconds only
done
echo "still running: $pids" >&2
exit 1

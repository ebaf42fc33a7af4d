#!/bin/sh
# Ends all processes that have a variable in their environment: with SIGTERM, and
# after two seconds with SIGKILL. Argument: NAME=VALUE.
# sshd cannot do this: it does not forward signals to processes of root, and sends
# none when a session without a terminal is closed.
set -eu

marked() {
	# Errors are ignored: processes may end meanwhile.
	grep -lF -e "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}

# Search repeatedly, because marked processes may start others.
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

#!/bin/sh
# Runs a command as the transient systemd unit slipway-NAME and waits for its
# end. Output and exit code stay in DIR/NAME, so that they outlive a connection.
# A unit that is running already is followed, never started again.
#
# Arguments: DIR NAME AGE LIMIT COMMAND...
#   AGE    0, or: take the result of a run of the same command that started at
#          most so many seconds ago (the caller lost the connection meanwhile)
#   LIMIT  seconds after which systemd ends the command; 0 is never
set -eu

boot() { cat /proc/sys/kernel/random/boot_id; }

# Seconds since boot: unlike the clock, nobody sets them.
uptime() { cut -d. -f1 /proc/uptime; }

running() {
	case $(systemctl show --property=ActiveState --value "$unit") in
	active | activating | deactivating | reloading) return 0 ;;
	*) return 1 ;;
	esac
}

# A finished run of this very command that started not longer ago than AGE.
finished() {
	[ "$age" -gt 0 ] && [ -s "$state/code" ] && cmp -s "$state/argv" "$state/argv.new" || return 1
	read -r in_boot at <"$state/started" || return 1
	[ "$in_boot" = "$(boot)" ] && [ $(($(uptime) - at)) -le "$age" ]
}

start() {
	systemctl reset-failed "$unit" 2>/dev/null || true
	rm -f "$state/code" "$state/log"
	mv "$state/argv.new" "$state/argv"
	: >"$state/log"
	# xargs gives the command back its words: on a command line of systemd's,
	# "$" would be expanded.
	cat >"$state/run" <<-'RUN'
		cd /
		exec xargs -0 sh -c 'state=$0; code=0; "$@" >>"$state/log" 2>&1 || code=$?
			echo "$code" >"$state/code.new"; mv "$state/code.new" "$state/code"' "$1" <"$1/argv"
	RUN
	echo "$(boot) $(uptime)" >"$state/started"
	set -- --unit="$unit" --description="slipway: $name" --quiet --setenv=HOME=/root --setenv=LC_ALL=C
	if [ "$limit" -gt 0 ]; then
		set -- "$@" --property=RuntimeMaxSec="$limit"
	fi
	systemd-run "$@" /bin/sh "$state/run" "$state"
}

main() {
	state=$1/$2 name=$2 unit=slipway-$2.service age=$3 limit=$4
	shift 4
	umask 077
	mkdir -p "$state"

	# Whoever comes second waits here and then finds the unit running.
	exec 9>"$state/lock"
	flock 9
	printf '%s\0' "$@" >"$state/argv.new"
	if ! running && ! finished; then
		start
	fi
	pid=$(systemctl show --property=MainPID --value "$unit")
	exec 9>&-

	if [ "${pid:-0}" -gt 0 ]; then
		tail -n +1 -s 0.2 -f --pid="$pid" "$state/log"
	else
		cat "$state/log"
	fi
	# The last line on standard error tells the caller that it was the command,
	# and not this script, that failed.
	if ! [ -s "$state/code" ]; then
		echo "slipway-$name was stopped: $(systemctl show --property=Result --value "$unit")" >&2
		exit 255
	fi
	code=$(cat "$state/code")
	if [ "$code" -ne 0 ]; then
		echo "slipway-$name ended with $code" >&2
	fi
	exit "$code"
}

# The script itself is on standard input: nothing in it may read from there.
main "$@" </dev/null

#!/bin/sh
# Runs a command as the transient systemd unit slipway-NAME, prints its output and
# exits with its exit code. Both are kept in DIR/NAME, so that they survive a lost
# connection. If the unit is running with the same command and input, the script
# follows it instead of starting it. If they differ, it stops the unit first.
#
# Arguments: DIR NAME AGE LIMIT INPUT SYNC COMMAND...
#   AGE    0 always runs the command. Otherwise the result of the same command is
#          used if it started at most AGE seconds ago: the caller lost the
#          connection meanwhile.
#   LIMIT  seconds after which systemd ends the command; 0 is no limit
#   INPUT  identifies the content of the files that the command reads
#   SYNC   paths, separated by spaces. The file systems of those that exist are on
#          disk before the command counts as done.
set -eu

boot() { cat /proc/sys/kernel/random/boot_id; }

# Seconds since boot. Unlike the clock, they are never set.
uptime() { cut -d. -f1 /proc/uptime; }

running() {
	case $(systemctl show --property=ActiveState --value "$unit") in
	active | activating | deactivating | reloading) return 0 ;;
	*) return 1 ;;
	esac
}

# The unit runs, or ran, the same command with the same input.
same() { cmp -s "$state/argv" "$state/argv.new" && [ "$(cat "$state/input" 2>/dev/null)" = "$input" ]; }

# The unit has finished, ran the same command and started at most AGE seconds ago.
finished() {
	[ "$age" -gt 0 ] && [ -s "$state/code" ] && same || return 1
	read -r in_boot at <"$state/started" || return 1
	[ "$in_boot" = "$(boot)" ] && [ $(($(uptime) - at)) -le "$age" ]
}

start() {
	systemctl reset-failed "$unit" 2>/dev/null || true
	rm -f "$state/code" "$state/log" "$state/input"
	mv "$state/argv.new" "$state/argv"
	printf '%s\n' "$input" >"$state/input"
	printf '%s\n' "$sync" >"$state/sync"
	: >"$state/log"
	# xargs passes the arguments unchanged. systemd would expand "$" in them.
	cat >"$state/run" <<-'RUN'
		cd /
		exec xargs -0 sh -c 'state=$0; code=0; "$@" >>"$state/log" 2>&1 || code=$?
			for path in $(cat "$state/sync"); do
				[ ! -e "$path" ] || sync -f "$path" >>"$state/log" 2>&1 || [ "$code" -ne 0 ] || code=74
			done
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
	state=$1/$2 name=$2 unit=slipway-$2.service age=$3 limit=$4 input=$5 sync=$6
	shift 6
	umask 077
	mkdir -p "$state"

	# A second caller waits here until the first one has started the unit.
	exec 9>"$state/lock"
	flock 9
	printf '%s\0' "$@" >"$state/argv.new"
	if running && ! same; then
		systemctl stop "$unit" 2>/dev/null || true # it may have ended meanwhile
	fi
	if ! running && ! finished; then
		start
	fi
	rm -f "$state/argv.new"
	pid=$(systemctl show --property=MainPID --value "$unit")
	exec 9>&-

	if [ "${pid:-0}" -gt 0 ]; then
		tail -n +1 -s 0.2 -f --pid="$pid" "$state/log"
	else
		cat "$state/log"
	fi
	# The last line on standard error marks a failure of the command, in contrast to
	# a failure of this script.
	if ! [ -s "$state/code" ]; then
		result=$(systemctl show --property=Result --value "$unit")
		systemctl reset-failed "$unit" 2>/dev/null || true
		echo "slipway-$name was stopped: $result" >&2
		exit 255
	fi
	code=$(cat "$state/code")
	if [ "$code" -ne 0 ]; then
		echo "slipway-$name ended with $code" >&2
	fi
	exit "$code"
}

# Standard input is the script itself: commands must not read it.
main "$@" </dev/null

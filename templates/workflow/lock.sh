#!/bin/sh
# Takes, renews or frees the lock of this machine. It is held by whoever wrote
# its token there and renewed it less than EXPIRY seconds ago, by this
# machine's clock. A lock from the future is one from before the clock was set.
# Arguments: folder, take|free, token, expiry in seconds, holder (a JSON line).
# Exit code 75: held by somebody else, whose line is printed.
set -eu
folder=$1 verb=$2 token=$3 expiry=$4 holder=$5
mkdir -p "$folder"
exec 9>"$folder/lock.guard"
flock 9
lock=$folder/lock
if [ -s "$lock" ] && ! grep -qF "\"token\":\"$token\"" "$lock"; then
	[ "$verb" = free ] && exit 0
	age=$(($(date +%s) - $(stat -c %Y "$lock")))
	if [ "$age" -lt "$expiry" ] && [ "$age" -gt "-$expiry" ]; then
		cat "$lock"
		exit 75
	fi
fi
if [ "$verb" = free ]; then
	rm -f "$lock"
else
	printf '%s\n' "$holder" >"$lock"
fi

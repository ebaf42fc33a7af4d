#!/bin/sh
# Takes, renews or releases the lock of this host. The lock belongs to the
# installer with the token in it, unless it was last renewed more than EXPIRY
# seconds ago by this host's clock. A lock from the future has expired too: the
# clock was set back.
# Arguments: directory, take|release, token, expiry in seconds, record (a JSON
# line).
# Exit code 75: another installer holds the lock. Its record is printed.
set -eu
dir=$1 verb=$2 token=$3 expiry=$4 record=$5
mkdir -p "$dir"
exec 9>"$dir/lock.guard"
flock 9
lock=$dir/lock
if [ -s "$lock" ] && ! grep -qF "\"token\":\"$token\"" "$lock"; then
	[ "$verb" = release ] && exit 0
	age=$(($(date +%s) - $(stat -c %Y "$lock")))
	if [ "$age" -lt "$expiry" ] && [ "$age" -gt "-$expiry" ]; then
		cat "$lock"
		exit 75
	fi
fi
if [ "$verb" = release ]; then
	rm -f "$lock"
else
	printf '%s\n' "$record" >"$lock"
fi

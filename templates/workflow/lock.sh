#!/bin/sh
# Takes, renews or frees the lock of this machine. It is held by whoever wrote
# its token there and renewed it less than EXPIRY seconds ago, by this
# machine's clock. /run is empty after a boot: no lock outlives one.
# Arguments: take|free, token, expiry in seconds, holder (a JSON line).
# Exit code 75: held by somebody else, whose line is printed.
set -eu
verb=$1 token=$2 expiry=$3 holder=$4
mkdir -p /run/slipway
exec 9>/run/slipway/lock.guard
flock 9
lock=/run/slipway/lock
if [ -s "$lock" ] && ! grep -qF "\"token\":\"$token\"" "$lock"; then
	[ "$verb" = free ] && exit 0
	age=$(($(date +%s) - $(stat -c %Y "$lock")))
	if [ "$age" -lt "$expiry" ]; then
		cat "$lock"
		exit 75
	fi
fi
if [ "$verb" = free ]; then
	rm -f "$lock"
else
	printf '%s\n' "$holder" >"$lock"
fi

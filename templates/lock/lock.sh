#!/bin/sh
# Takes, renews or releases the lock of this host. The lock belongs to the
# installer with the token in it, unless it was last renewed more than EXPIRY
# seconds ago by this host's clock. A lock from the future has expired too: the
# clock was set back. The lock of an installer that has ended is taken over.
# Arguments: directory, take|release, token, expiry in seconds, record (a JSON
# line), token of an installer that has ended (empty: none), seconds to wait for
# the guard.
# Exit code 75: another installer holds the lock. Its record is printed.
set -eu
dir=$1 verb=$2 token=$3 expiry=$4 record=$5 ended=$6 limit=$7
guard=$dir/lock.guard lock=$dir/lock

fail() {
	echo "$1" >&2
	exit 1
}

# refuse_foreign PATH fails if PATH is a link, a special file or the file of another
# user.
refuse_foreign() {
	[ -e "$1" ] || [ -L "$1" ] || return 0
	if [ -L "$1" ] || ! { [ -f "$1" ] || [ -d "$1" ]; } || [ "$(stat -c %u "$1")" != "$(id -u)" ]; then
		fail "$1 is not a file or directory of slipway: find out who created it, and delete it"
	fi
}

has_token() { [ -n "$1" ] && grep -qF "\"token\":\"$1\"" "$lock"; }

# Whoever can open the guard can lock it: no other user may.
umask 077
refuse_foreign "$dir"
mkdir -p "$dir"
chmod 700 "$dir"
refuse_foreign "$guard"
exec 9>"$guard"
chmod 600 "$guard"
flock -w "$limit" 9 ||
	fail "timed out waiting for $guard after $limit s: another program locks it; fuser -v $guard names it"

refuse_foreign "$lock"
if [ -s "$lock" ] && ! has_token "$token"; then
	[ "$verb" = release ] && exit 0
	age=$(($(date +%s) - $(stat -c %Y "$lock")))
	if [ "$age" -lt "$expiry" ] && [ "$age" -gt "-$expiry" ] && ! has_token "$ended"; then
		cat "$lock"
		exit 75
	fi
fi
if [ "$verb" = release ]; then
	rm -f "$lock"
else
	printf '%s\n' "$record" >"$lock"
fi

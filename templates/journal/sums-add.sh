#!/bin/sh
# Records the checksums of files that were just written and verified, or hashed, with
# their sizes, times and inodes. Without a journal, slipway has written nothing.
# Arguments: journal directory, then for each file: sha256, path.
set -eu
journal=$1
shift
[ -d "$journal" ] || exit 0
exec 9>>"$journal/sums"
flock 9
# A power loss may have truncated the last line.
[ ! -s "$journal/sums" ] || [ "$(tail -c 1 "$journal/sums" | wc -l)" -eq 1 ] || echo >&9
while [ $# -gt 0 ]; do
	printf '%s %s %s\n' "$1" "$(stat -c '%s %.9Y %.9Z %i %d' -- "$2")" "$2" >&9
	shift 2
done

#!/bin/sh
# Records the checksums of files that were just written and verified, with their
# sizes, times and inodes.
# Arguments: journal directory, then for each file: sha256, path.
set -eu
journal=$1
shift
exec 9>>"$journal/sums"
flock 9
while [ $# -gt 0 ]; do
	printf '%s %s %s\n' "$1" "$(stat -c '%s %.9Y %.9Z %i %d' -- "$2")" "$2" >&9
	shift 2
done

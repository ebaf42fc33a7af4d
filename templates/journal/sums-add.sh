#!/bin/sh
# Notes the sums of files that were written and verified a moment ago, with
# what the file system says of them.
# Arguments: journal folder, then for each file: sha256, path
set -eu
journal=$1
shift
exec 9>>"$journal/sums"
flock 9
while [ $# -gt 0 ]; do
	printf '%s %s %s\n' "$1" "$(stat -c '%s %.9Y %.9Z %i %d' -- "$2")" "$2" >&9
	shift 2
done

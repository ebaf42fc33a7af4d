#!/bin/sh
# Notes the sum of a file that was written and verified a moment ago, with what
# the file system says of it.
# Arguments: journal folder, sha256, path
set -eu
journal=$1 sum=$2 path=$3
exec 9>>"$journal/sums"
flock 9
printf '%s %s %s\n' "$sum" "$(stat -c '%s %.9Y %.9Z %i %d' -- "$path")" "$path" >&9

#!/bin/sh
# Appends an entry to the journal, unless the same command is there already.
# Arguments: journal folder, entry (a JSON line), its part that makes it the same.
set -eu
journal=$1 entry=$2 same=$3
(umask 077 && mkdir -p "$journal")
entries=$journal/entries.jsonl
exec 9>>"$entries"
flock 9
# A line that a full disk cut off does not end in "}", and counts as none.
[ -z "$(tail -c 1 "$entries")" ] || echo >&9
grep -sF -- "$same" "$entries" | grep -q '}$' && exit 0
printf '%s\n' "$entry" >&9
sync "$entries"

#!/bin/sh
# Appends an entry to the journal, unless the same command is there already.
# Arguments: journal folder, entry (a JSON line), its part that makes it the same.
set -eu
journal=$1 entry=$2 same=$3
(umask 077 && mkdir -p "$journal")
exec 9>>"$journal/entries.jsonl"
flock 9
grep -qsF -- "$same" "$journal/entries.jsonl" && exit 0
printf '%s\n' "$entry" >&9
sync "$journal/entries.jsonl"

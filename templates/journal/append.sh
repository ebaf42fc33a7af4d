#!/bin/sh
# Appends an entry to the journal, unless the journal contains the same command.
# Arguments: journal directory, entry (a JSON line), the part of the entry that
# identifies the command.
set -eu
journal=$1 entry=$2 same=$3
(umask 077 && mkdir -p "$journal")
entries=$journal/entries.jsonl
exec 9>>"$entries"
flock 9
# Start a new line after one that a full disk truncated. A truncated line does not
# end in "}" and is ignored.
[ -z "$(tail -c 1 "$entries")" ] || echo >&9
grep -sF -- "$same" "$entries" | grep -q '}$' && exit 0
printf '%s\n' "$entry" >&9
sync "$entries"

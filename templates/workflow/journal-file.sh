#!/bin/sh
# Says in the journal that PATH is about to be written, and keeps what is there
# now, the first time only: reset puts it back.
# Arguments: journal folder, phase, kind ("file" or "dir"), path.
set -eu
journal=$1 phase=$2 kind=$3 path=$4

(umask 077 && mkdir -p "$journal")
entries=$journal/entries.jsonl
exec 9>>"$entries"
flock 9
# A line that a full disk cut off does not end in "}", and counts as none.
[ -z "$(tail -c 1 "$entries")" ] || echo >&9

grep -sF "\"kind\":\"$kind\",\"path\":\"$path\"" "$entries" | grep -q '}$' && exit 0

existed=false
if [ -e "$path" ] || [ -L "$path" ]; then
	existed=true
	if [ "$kind" = file ]; then
		(umask 077 && mkdir -p "$journal/before$(dirname "$path")")
		cp -a --no-dereference "$path" "$journal/before$path.part"
		mv -T "$journal/before$path.part" "$journal/before$path"
	fi
fi

# The topmost parent that is missing: reset removes it again if it is empty.
made=
at=$(dirname "$path")
while [ ! -e "$at" ]; do
	made=$at
	at=$(dirname "$at")
done

printf '{"time":"%s","phase":"%s","kind":"%s","path":"%s","existed":%s,"made":"%s"}\n' \
	"$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$phase" "$kind" "$path" "$existed" "$made" >&9
sync "$entries"

#!/bin/sh
# Says in the journal that PATH is about to be written, and keeps what is there
# now, the first time only: reset puts it back.
# Arguments: journal folder, phase, kind ("file" or "dir"), path.
set -eu
journal=$1 phase=$2 kind=$3 path=$4

(umask 077 && mkdir -p "$journal")
exec 9>>"$journal/entries.jsonl"
flock 9

grep -qsF "\"kind\":\"$kind\",\"path\":\"$path\"" "$journal/entries.jsonl" && exit 0

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
sync "$journal/entries.jsonl"

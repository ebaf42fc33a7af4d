#!/bin/sh
# Adds paths to the journal before they are written, and copies the files that
# exist, so that reset restores them. Skips paths that the journal contains.
# Arguments: journal directory, phase, then for each path: kind ("file" or
# "dir"), path.
set -eu
journal=$1 phase=$2
shift 2

(umask 077 && mkdir -p "$journal")
entries=$journal/entries.jsonl
exec 9>>"$entries"
flock 9
# Start a new line after one that a full disk truncated. A truncated line does not
# end in "}" and is ignored.
[ -z "$(tail -c 1 "$entries")" ] || echo >&9

now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
while [ $# -gt 0 ]; do
	kind=$1 path=$2
	shift 2
	if grep -sF "\"kind\":\"$kind\",\"path\":\"$path\"" "$entries" | grep -q '}$'; then
		continue
	fi

	existed=false
	if [ -e "$path" ] || [ -L "$path" ]; then
		existed=true
		if [ "$kind" = file ]; then
			(umask 077 && mkdir -p "$journal/before$(dirname "$path")")
			cp -a --no-dereference "$path" "$journal/before$path.part"
			mv -T "$journal/before$path.part" "$journal/before$path"
		fi
	fi

	# The topmost missing parent: reset removes it if it is empty.
	made=
	at=$(dirname "$path")
	while [ ! -e "$at" ]; do
		made=$at
		at=$(dirname "$at")
	done

	printf '{"time":"%s","phase":"%s","kind":"%s","path":"%s","existed":%s,"made":"%s"}\n' \
		"$now" "$phase" "$kind" "$path" "$existed" "$made" >&9
done
sync "$entries"

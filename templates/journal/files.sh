#!/bin/sh
# Adds paths to the journal, after begin.sh, before they are written, and copies the
# files that exist, so that reset restores them. Skips what the journal contains. On a host with
# SELinux, prints the paths whose context must be set after they are written, with the
# parents that will be created.
# Arguments: journal directory, phase, then for each path: kind ("file" or
# "dir"), path, SHA-256 of the content to write ("" for a directory).
# shellcheck disable=SC2154 # begin.sh assigns journal and entries
set -eu
phase=$2
shift 2

now=$(date -u +%Y-%m-%dT%H:%M:%SZ)

exists() { [ -e "$path" ] || [ -L "$path" ]; }

# Copies a file that exists before the first change.
copy() {
	recorded "\"kind\":\"file\",\"path\":\"$path\"" && return
	exists || return 0
	(umask 077 && mkdir -p "$journal/before$(dirname "$path")")
	cp -a --no-dereference "$path" "$journal/before$path.part"
	mv -T "$journal/before$path.part" "$journal/before$path"
	copied=yes
}

# Records the state of a path before the first change.
before() {
	existed=false
	if exists; then existed=true; fi

	# The topmost missing parent: reset removes it if it is empty.
	made=
	at=$(dirname "$path")
	while [ ! -e "$at" ]; do
		made=$at
		at=$(dirname "$at")
	done

	printf '{"time":"%s","phase":"%s","kind":"%s","path":"%s","existed":%s,"made":"%s"}\n' \
		"$now" "$phase" "$kind" "$path" "$existed" "$made" >&9
}

# The copies are on disk before an entry says that they exist.
copied=
count=$#
while [ "$count" -gt 0 ]; do
	kind=$1 path=$2
	[ "$kind" != file ] || copy
	set -- "$@" "$1" "$2" "$3"
	shift 3
	count=$((count - 3))
done
[ -z "$copied" ] || sync -f "$journal"

selinux=
if selinuxenabled 2>/dev/null && command -v restorecon >/dev/null; then selinux=yes; fi

# Prints a path, and its missing parents before it.
label() (
	[ -e "${1%/*}" ] || [ -z "${1%/*}" ] || label "${1%/*}"
	printf '%s\n' "$1"
)

while [ $# -gt 0 ]; do
	kind=$1 path=$2 sum=$3
	shift 3
	[ -z "$selinux" ] || label "$path"
	recorded "\"kind\":\"$kind\",\"path\":\"$path\"" || before
	[ -z "$sum" ] || recorded "\"kind\":\"content\",\"path\":\"$path\",\"sum\":\"$sum\"" ||
		printf '{"time":"%s","phase":"%s","kind":"content","path":"%s","sum":"%s"}\n' "$now" "$phase" "$path" "$sum" >&9
done
sync "$entries"

#!/bin/sh
# Restores paths to their state before slipway wrote them, after the journal.
# Prints what needs attention.
# Arguments: journal directory, then for each path: kind ("file", "dir", or "tree"
# for a directory that nobody else writes to), whether it existed before (true or
# false), the path, the topmost parent directory that was created for it ("" if
# none).
set -eu
journal=$1
shift

# Whether a file is as it was before.
restored() {
	if [ -L "$1" ] || [ -L "$2" ]; then
		[ "$(readlink "$1")" = "$(readlink "$2")" ]
	else
		cmp -s "$1" "$2"
	fi
}

put_back() {
	cp -a --no-dereference "$saved" "$path.slipway-undo"
	[ -L "$saved" ] || sync "$path.slipway-undo"
	mv -T "$path.slipway-undo" "$path"
}

# Copies the current file to the journal.
keep() {
	(umask 077 && mkdir -p "$journal/after$(dirname "$path")")
	cp -a --no-dereference "$path" "$journal/after$path"
}

# Whether the journal has the checksums of what slipway wrote. Earlier versions of
# slipway did not record them.
has_sums() { grep -qsF "\"kind\":\"content\",\"path\":\"$path\"," "$journal/entries.jsonl"; }

# Whether the file is what slipway wrote.
unchanged() {
	[ -f "$path" ] && [ ! -L "$path" ] || return 1
	sum=$(sha256sum <"$path")
	grep -qsF "\"kind\":\"content\",\"path\":\"$path\",\"sum\":\"${sum%% *}\"" "$journal/entries.jsonl"
}

replaced() {
	saved=$journal/before$path
	[ -e "$saved" ] || [ -L "$saved" ] || return 0
	if restored "$saved" "$path" 2>/dev/null; then return 0; fi
	if ! has_sums; then
		[ ! -e "$path" ] || keep
		put_back
		echo "restored $path; the archived journal contains the replaced file as after$path"
	elif unchanged; then
		put_back
	else
		echo "left $path, which somebody changed after slipway; the archived journal contains the old file as before$path"
	fi
}

created() {
	# Programs are large, and nobody edits them.
	if has_sums && [ -n "$(find "$path" -maxdepth 0 -type f -size -1024k 2>/dev/null)" ] && ! unchanged; then
		keep
		echo "deleted $path, which somebody changed after slipway; the archived journal contains it as after$path"
	fi
	rm -f "$path"
}

dir() {
	[ -d "$path" ] && [ ! -L "$path" ] || return 0
	find "$path" -depth -xdev -type d -empty -exec rmdir {} \; 2>/dev/null || true
	[ -d "$path" ] || return 0
	others=$(find "$path" -mindepth 1 -maxdepth 1 ! -type d -printf '%f ')
	[ -z "$others" ] || echo "left $path, which contains files of others: ${others% }"
}

while [ $# -ge 4 ]; do
	kind=$1 existed=$2 path=$3 made=$4
	shift 4
	case $kind-$existed in
	file-true) replaced ;;
	file-false) created ;;
	dir-false) dir ;;
	tree-false) rm -rf --one-file-system "$path" || echo "could not delete all of $path" ;;
	esac
	# Remove the directories that were created for it, if they are empty.
	if [ -n "$made" ]; then
		at=$(dirname "$path")
		while [ "${#at}" -ge "${#made}" ]; do
			rmdir "$at" 2>/dev/null || break
			at=$(dirname "$at")
		done
	fi
done

#!/bin/sh
# Restores paths to their state before slipway wrote them, after the journal.
# Arguments: journal directory, then for each path: kind ("file" or "dir"), whether
# it existed before (true or false), the path, the topmost parent directory that
# was created for it ("" if none).
set -eu
journal=$1
shift
while [ $# -ge 4 ]; do
	kind=$1 existed=$2 path=$3 made=$4
	shift 4
	case $kind-$existed in
	file-true)
		# An earlier reset may have restored the file already.
		if [ -e "$journal/before$path" ] || [ -L "$journal/before$path" ]; then
			cp -a --no-dereference "$journal/before$path" "$path.slipway-undo"
			mv -T "$path.slipway-undo" "$path"
		fi
		;;
	file-false) rm -f "$path" ;;
	dir-false) rm -rf --one-file-system "$path" ;;
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

#!/bin/sh
# Puts a path back as the journal says it was before slipway wrote it.
# Arguments: journal folder, then for each path: kind (file or dir), whether
# something was there before (true or false), the path, the topmost parent
# folder that was made for it ("" if none).
set -eu
journal=$1
shift
while [ $# -ge 4 ]; do
	kind=$1 existed=$2 path=$3 made=$4
	shift 4
	case $kind-$existed in
	file-true)
		# Reset again: what was put back is not there to be put back twice.
		if [ -e "$journal/before$path" ] || [ -L "$journal/before$path" ]; then
			cp -a --no-dereference "$journal/before$path" "$path.slipway-undo"
			mv -T "$path.slipway-undo" "$path"
		fi
		;;
	file-false) rm -f "$path" ;;
	dir-false) rm -rf --one-file-system "$path" ;;
	esac
	# Folders that were made for it, as far as they are empty again.
	if [ -n "$made" ]; then
		at=$(dirname "$path")
		while [ "${#at}" -ge "${#made}" ]; do
			rmdir "$at" 2>/dev/null || break
			at=$(dirname "$at")
		done
	fi
done

#!/bin/sh
# Replaces programs by those of another version, each of them atomically.
# Arguments: the directory of the new programs, that of the old ones, their names.
set -eu
from=$1 to=$2
shift 2
for name; do
	cp "$from/$name" "$to/.slipway-$name"
	chmod 755 "$to/.slipway-$name"
	sync "$to/.slipway-$name"
	mv -f "$to/.slipway-$name" "$to/$name"
done
sync "$to"

#!/bin/sh
# Deletes the files that a reset needs while it runs, and moves the journal to an
# archive, for people to read. The journal goes last: without it, a reset has nothing
# to do.
# Arguments: journal directory, path of the archive, file or directory...
set -eu
journal=$1 archive=$2
shift 2
rm -rf "$@"
mkdir -p "$(dirname "$archive")"
if [ -d "$journal" ]; then
	mv -T "$journal" "$archive"
	sync -f "$archive"
fi

#!/bin/sh
# Moves the journal to an archive, for people to read, and deletes the files that a
# reset needs while it runs.
# Arguments: journal directory, path of the archive, file...
set -eu
mkdir -p "$(dirname "$2")"
[ -d "$1" ] && mv -T "$1" "$2"
shift 2
rm -f "$@"

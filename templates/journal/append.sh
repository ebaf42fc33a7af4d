#!/bin/sh
# Appends an entry to the journal, after begin.sh, unless the journal contains the same
# command.
# Arguments: journal directory, entry (a JSON line), the part of the entry that
# identifies the command. For a command that enables a service also: the service,
# and the entry for a service that is enabled already.
# shellcheck disable=SC2154 # begin.sh assigns entries
set -eu
entry=$2 same=$3 service=${4-} enabled=${5-}
recorded "$same" && exit 0
if [ -n "$service" ] && systemctl is-enabled --quiet "$service" 2>/dev/null; then
	entry=$enabled
fi
printf '%s\n' "$entry" >&9
sync "$entries"

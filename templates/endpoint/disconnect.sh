#!/bin/sh
# Closes the TCP connections that a move of the endpoint's address has cut off, so that
# programs of this host open new ones at once instead of waiting for an answer. keepalived
# reports some transitions late, twice, or without a change: what counts is whether this
# host has the address.
# Needs a kernel with CONFIG_INET_DIAG_DESTROY, and does nothing on others.
# Arguments: ADDRESS. keepalived adds others, which the script ignores.
set -eu
command -v ss >/dev/null || exit 0
held=$(ip -4 -o address show to "$1")
if [ -z "$held" ]; then
	# Both ends of the connections from this host, and one end of those from others.
	set -- src "$1"
else
	# Those to the control plane that had the address before.
	set -- dst "$1" and not src "$1"
fi
ss -K -H -n -t "$@" >/dev/null

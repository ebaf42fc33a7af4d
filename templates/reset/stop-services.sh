#!/bin/sh
# Stops services whose packages stay on the host, before their files are deleted or
# restored: keepalived without its check would take the address of the endpoint. Disables
# those that were not enabled before slipway, and those of which an earlier version of
# slipway did not record it. Prints what needs attention.
# Arguments: journal directory, the address of the endpoint ("" if keepalived does not
# have it), service...
set -eu
journal=$1 address=$2
shift 2
for service; do
	[ "$(systemctl show --property=LoadState --value "$service")" != not-found ] || continue
	systemctl stop "$service"
	grep -qsxF "enabled $service" "$journal/services" || systemctl disable --quiet "$service" || echo "could not disable $service"
done
# A keepalived that was killed has left the address on its link.
[ -n "$address" ] || exit 0
ip -4 -o address show to "$address/32" | while read -r _ link _ prefix _; do
	[ "$prefix" != "$address/32" ] || ip address delete "$prefix" dev "$link"
done

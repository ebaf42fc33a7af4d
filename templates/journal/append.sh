#!/bin/sh
# Appends an entry to the journal, unless the journal contains the same command.
# Arguments: journal directory, entry (a JSON line), the part of the entry that
# identifies the command. For a command that enables a service also: the service,
# and the entry for a service that is enabled already.
set -eu
journal=$1 entry=$2 same=$3 service=${4-} enabled=${5-}
(umask 077 && mkdir -p "$journal")
entries=$journal/entries.jsonl
exec 9>>"$entries"
flock 9
if [ ! -s "$entries" ]; then
	# Kubernetes changes kernel settings that reset restores.
	sysctl -a --pattern '^(kernel|vm|net.ipv4.conf.all|net.netfilter)[.]' >"$journal/sysctls" 2>/dev/null || true
	# Packages of Debian enable and start their services before slipway does.
	for packaged in keepalived.service haproxy.service; do
		! systemctl is-enabled --quiet "$packaged" 2>/dev/null || echo "enabled $packaged"
		! systemctl is-active --quiet "$packaged" 2>/dev/null || echo "active $packaged"
	done >"$journal/services"
	sync "$journal/sysctls" "$journal/services" "$journal"
fi
# Start a new line after one that a full disk or a power loss truncated, or that ends
# in zeros. A truncated line does not end in "}" and is ignored.
[ ! -s "$entries" ] || [ "$(tail -c 1 "$entries" | wc -l)" -eq 1 ] || echo >&9
grep -asF -- "$same" "$entries" | grep -aq '}$' && exit 0
if [ -n "$service" ] && systemctl is-enabled --quiet "$service" 2>/dev/null; then
	entry=$enabled
fi
printf '%s\n' "$entry" >&9
sync "$entries"

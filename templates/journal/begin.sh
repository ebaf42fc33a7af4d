#!/bin/sh
# The beginning of the scripts that add to the journal: creates it with the state of
# before, and locks it.
# Arguments: journal directory...
set -eu
journal=$1
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

# Reports whether an entry that is complete contains the text.
recorded() { grep -asF -- "$1" "$entries" | grep -aq '}$'; }

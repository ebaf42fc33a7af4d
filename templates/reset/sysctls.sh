#!/bin/sh
# Restores the kernel settings that kubelet and kube-proxy set, unless somebody
# changed them since. Prints those whose old value is not known.
# Argument: journal directory, which has the settings from before the first change.
set -eu
before=$1/sysctls
connections=$(($(getconf _NPROCESSORS_ONLN) * 32768))
[ "$connections" -gt 131072 ] || connections=131072
unknown=
while read -r key ours; do
	now=$(sysctl -n "$key" 2>/dev/null) || continue
	[ "$now" = "$ours" ] || continue
	old=$(awk -v key="$key" '$1 == key { print $3 }' "$before" 2>/dev/null) || true
	if [ -z "$old" ]; then
		unknown="$unknown $key"
	elif [ "$old" != "$now" ]; then
		sysctl -q -w "$key=$old" >/dev/null 2>&1 || unknown="$unknown $key=$old"
	fi
done <<-LIST
	vm.overcommit_memory 1
	vm.panic_on_oom 0
	kernel.panic 10
	kernel.panic_on_oops 1
	kernel.keys.root_maxkeys 1000000
	kernel.keys.root_maxbytes 25000000
	net.ipv4.conf.all.route_localnet 1
	net.ipv4.conf.all.arp_ignore 1
	net.ipv4.conf.all.arp_announce 2
	net.netfilter.nf_conntrack_max $connections
	net.netfilter.nf_conntrack_tcp_timeout_established 86400
	net.netfilter.nf_conntrack_tcp_timeout_close_wait 3600
LIST
[ -z "$unknown" ] || echo "kubelet or kube-proxy may have set these sysctls, which keep their values until the next boot:$unknown"

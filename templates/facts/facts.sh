#!/bin/sh
# Prints what this machine looks like, one "key<TAB>value" a line; a key may
# come several times. Reads only. A fact that cannot be had has no line.
# Arguments: the sysctls to print, then "--", then the paths whose free space
# counts.
set -u

fact() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"; }
file() { [ -r "$2" ] && fact "$1" "$(head -n 1 "$2")"; }

fact time "$(date +%s.%N)"
fact hostname "$(uname -n)"
fact arch "$(uname -m)"
fact kernel "$(uname -r)"
fact cpus "$(getconf _NPROCESSORS_ONLN)"
fact memoryKiB "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
fact cgroup "$(stat -fc %T /sys/fs/cgroup)"
file init /proc/1/comm
file machineID /etc/machine-id
file productUUID /sys/class/dmi/id/product_uuid

# shellcheck disable=SC1091
(. /etc/os-release && fact osID "$ID" && fact osLike "${ID_LIKE-}" &&
	fact osVersion "${VERSION_ID-}" && fact osName "$PRETTY_NAME")

ip -o addr show scope global | awk '{ print "address\t" $2 " " $4 ($0 ~ / dynamic/ ? " dynamic" : "") }'
ip -4 route show table main | sed 's/^/route\t/'
ip -o link show | awk '$0 ~ /link\/ether/ { for (i = 1; i < NF; i++) if ($i == "link/ether") { sub(/[:@].*/, "", $2); print "mac\t" $2 " " $(i+1) } }'
awk '$1 == "nameserver" { print "resolver\t" $2 }' /etc/resolv.conf 2>/dev/null

awk 'NR > 1 { print "swapActive\t" $1 }' /proc/swaps
awk '$1 !~ /^#/ && $3 == "swap" { print "swapFstab\t" $1 }' /etc/fstab 2>/dev/null
systemctl list-units --all --plain --no-legend --type=swap 2>/dev/null |
	awk '$2 == "loaded" { print "swapUnit\t" $1 }'
# The first configuration of zram-generator is the one that counts.
for conf in /etc/systemd/zram-generator.conf /usr/lib/systemd/zram-generator.conf; do
	[ -e "$conf" ] || continue
	grep -qs '^\[zram' "$conf" && fact zram "$conf"
	break
done

# A module is there if it is loaded or built in (both have a folder, or, for
# those without parameters, a line), or can be loaded.
for module in overlay br_netfilter nf_conntrack vxlan; do
	if [ -d "/sys/module/$module" ] || grep -qs "/$module\.ko" "/lib/modules/$(uname -r)/modules.builtin"; then
		fact module "$module"
	elif modprobe --dry-run --quiet "$module" 2>/dev/null; then
		fact loadable "$module"
	fi
done
# These say that a built-in without a folder in /sys/module is at work.
[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] && fact module br_netfilter
[ -e /proc/sys/net/netfilter/nf_conntrack_max ] && fact module nf_conntrack
grep -qs '\boverlay$' /proc/filesystems && fact module overlay

while [ $# -gt 0 ] && [ "$1" != -- ]; do
	value=$(sysctl -n "$1" 2>/dev/null) && fact sysctl "$1 $value"
	shift
done
[ $# -gt 0 ] && shift

# Free KiB of the file system that holds, or would hold, each path.
for path in "$@"; do
	at=$path
	while [ ! -e "$at" ]; do at=$(dirname "$at"); done
	df -Pk "$at" | awk -v path="$path" 'NR == 2 { print "disk\t" path " " $2 " " $4 " " $6 }'
done

ss -Hltnp 2>/dev/null | awk '{ n = split($4, a, ":"); owner = $6; sub(/.*\(\("/, "", owner); sub(/".*/, "", owner); print "listen\t" a[n] " " owner }' | sort -u

for socket in /run/containerd/containerd.sock /run/crio/crio.sock /run/cri-dockerd.sock; do
	[ -S "$socket" ] && fact criSocket "$socket"
done
for path in /etc/kubernetes/admin.conf /etc/kubernetes/kubelet.conf /etc/kubernetes/manifests/kube-apiserver.yaml \
	/var/lib/etcd/member /var/lib/slipway/journal /var/lib/kubelet/config.yaml /lib/modules; do
	[ -e "$path" ] && fact exists "$path"
done
for command in iptables nft conntrack modprobe mount systemd-run sha256sum tail tar; do
	command -v "$command" >/dev/null 2>&1 && fact command "$command"
done
exit 0

#!/bin/sh
# Removes the network interfaces, network namespaces and packet filter chains of
# the cluster: those of kubelet, kube-proxy, Flannel, Calico and the CNI plugins.
set -eu
calico=$(ip -o link | awk -F': ' '$2 ~ /^(cali|vxlan\.calico)/ { sub(/@.*/, "", $2); print $2 }')
for link in cni0 flannel.1 $calico; do
	ip link show "$link" >/dev/null 2>&1 && ip link delete "$link"
done
for ns in $(ip netns list 2>/dev/null | awk '$1 ~ /^cni-/ { print $1 }'); do
	ip netns delete "$ns" || true
done
ours='KUBE-|FLANNEL-|CNI-|cali-'
for family in iptables ip6tables; do
	command -v "$family-save" >/dev/null 2>&1 || continue
	rules=$("$family-save" 2>/dev/null) || continue
	printf '%s\n' "$rules" | grep -qE "^(:|-A )($ours)" || continue
	# Write back all other rules in one transaction.
	printf '%s\n' "$rules" | grep -vE "^:($ours)|^-A ($ours)|^-A .* -j ($ours)|--comment \"?flanneld|-A .* -m comment --comment \"?kubernetes" |
		"$family-restore"
done
rm -rf /run/flannel /run/calico /var/lib/calico
exit 0

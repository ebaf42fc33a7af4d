#!/bin/sh
# Deletes the network interfaces, network namespaces and routes of the cluster: those
# of kube-proxy, Flannel, Calico, Cilium and the CNI plugins.
# Arguments: the addresses of pods (CIDR), the list of the cluster's containers.
set -eu
pods=$1 list=$2

ip -o link show | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }' | while read -r link; do
	case $link in
	cali* | vxlan.calico | vxlan-v6.calico | wireguard.cali | flannel.[0-9]* | flannel-v6.[0-9]* | flannel-wg* | \
		kube-ipvs0 | nodelocaldns | cilium_host | cilium_net | cilium_vxlan | cilium_geneve) ;;
	# The default name of a bridge of any CNI configuration.
	cni0) [ -n "$(ip -o addr show dev cni0 to "$pods")" ] || continue ;;
	*) continue ;;
	esac
	# One end of a pair deletes the other one.
	ip link delete "$link" 2>/dev/null || true
done

# tunl0 belongs to the kernel module.
if [ -n "$(ip -o addr show dev tunl0 to "$pods" 2>/dev/null)" ]; then
	ip addr flush dev tunl0 to "$pods"
	[ -n "$(ip -o -4 addr show dev tunl0)" ] || ip link set dev tunl0 down
fi

[ ! -e "$list" ] || awk '$2 != "" { print $2 }' "$list" | sort -u | while read -r netns; do
	ip netns list | grep -q "^$netns\( \|$\)" || continue
	ip netns delete "$netns" || true
done

# Prints the arguments that delete each route.
arguments() {
	awk '$1 != "nexthop" {
		type = $1 ~ /^(blackhole|unreachable|prohibit|throw)$/
		text = type ? $1 " " $2 : $1
		for (i = type + 2; i < NF; i++) if ($i ~ /^(via|dev|metric)$/) text = text " " $i " " $(i + 1)
		print text
	}'
}

# Flannel and Calico have a route for each node, and Calico marks its own with a
# protocol number.
{
	ip -4 route show root "$pods" | awk -v all="$pods" '$1 != all && $0 !~ / proto kernel / { print }' | arguments | sed 's/^/-4 /'
	ip -4 route show proto 80 | arguments | sed 's/^/-4 /'
	ip -6 route show proto 80 | arguments | sed 's/^/-6 /'
} 2>/dev/null | sort -u | while read -r family route; do
	# shellcheck disable=SC2086 # the words of the route
	ip "$family" route delete $route </dev/null || echo "could not delete the route $route"
done

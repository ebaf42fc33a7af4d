#!/bin/sh
# Deletes the nftables tables, IPVS services and ipsets of kube-proxy, Flannel and
# Calico. Rules that use an ipset must be deleted before.
set -eu
if command -v nft >/dev/null 2>&1; then
	nft list tables 2>/dev/null | while read -r _ family table; do
		case "$family $table" in
		"ip kube-proxy" | "ip6 kube-proxy" | "ip calico" | "ip6 calico" | "arp calico-arp" | "ip flannel-ipv4" | "ip6 flannel-ipv6")
			nft delete table "$family" "$table" </dev/null || echo "could not delete the nftables table $family $table"
			;;
		esac
	done
fi

# kube-proxy uses IPVS only if it has this link, which has the addresses of Services.
if command -v ipvsadm >/dev/null 2>&1 && ip link show kube-ipvs0 >/dev/null 2>&1; then
	addresses=$(ip -o addr show dev kube-ipvs0 | awk '{ sub(/\/.*/, "", $4); print $4 }')
	ipvsadm --save --numeric 2>/dev/null | while read -r command protocol service _; do
		case "$command $protocol" in
		"-A -t" | "-A -u" | "-A --sctp-service") ;;
		*) continue ;;
		esac
		address=${service%:*} port=${service##*:}
		if printf '%s\n' "$addresses" | grep -qxF "$address" || { [ "$port" -ge 30000 ] && [ "$port" -le 32767 ]; }; then
			ipvsadm --delete-service "$protocol" "$service" </dev/null || echo "could not delete the IPVS service $service"
		fi
	done
fi

if command -v ipset >/dev/null 2>&1; then
	ipset list -n 2>/dev/null | while read -r set; do
		case $set in
		KUBE-* | cali[46]*) ipset destroy "$set" </dev/null || echo "could not delete the ipset $set" ;;
		esac
	done
elif [ -e /var/lib/calico/nodename ]; then
	echo "ipset is not installed: the ipsets of Calico stay, unused, until the next boot"
fi

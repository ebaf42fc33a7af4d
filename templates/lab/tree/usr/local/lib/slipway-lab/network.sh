#!/bin/sh
# network.sh ADDRESS PREFIX_LENGTH GATEWAY
#
# Gives a lab machine its address, and routes that lead nowhere but to the lab.
#
# A connection to a service address needs a route before kube-proxy's DNAT
# rewrites it (the kernel looks up a route again afterwards), so there must be a
# default one. The rules look up everything but the default route in the main
# table, and then send the rest to lo, where it ends: no packet to an address
# outside the lab leaves the machine. The default route in the main table is
# never reached. It is there for programs that read it to find the machine's
# interface and address, as kubeadm and Flannel do.
set -eu

address=$1 prefix_length=$2 gateway=$3
link=host0
outside=77

# IPv6 would send router solicitations; lo keeps its ::1.
echo 1 >"/proc/sys/net/ipv6/conf/$link/disable_ipv6"
ip link set lo up
ip address replace "$address/$prefix_length" dev "$link"

# The rules come before the link is up and the default route exists.
ip route replace default dev lo src "$address" table "$outside"
ip rule del pref 1000 2>/dev/null || true
ip rule del pref 1001 2>/dev/null || true
ip rule add pref 1000 lookup main suppress_prefixlength 0
ip rule add pref 1001 lookup "$outside"

ip link set "$link" up
ip route replace default via "$gateway" dev "$link" src "$address"

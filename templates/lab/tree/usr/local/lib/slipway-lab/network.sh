#!/bin/sh
# network.sh ADDRESS PREFIX_LENGTH GATEWAY
#
# Configures the address of a lab machine, and routes to nothing but the lab.
#
# A connection to a service address needs a route before kube-proxy's DNAT rewrites
# the address, and so a default route. The rules use the main table without its
# default route, and then a table that sends all other packets to lo: no packet to
# an address outside the lab leaves the machine. The default route in the main table
# is unused; kubeadm and Flannel read it to find the interface and address of the
# machine.
set -eu

address=$1 prefix_length=$2 gateway=$3
link=host0
outside=77

# Without IPv6, there are no router solicitations; lo keeps ::1.
echo 1 >"/proc/sys/net/ipv6/conf/$link/disable_ipv6"
ip link set lo up
ip address replace "$address/$prefix_length" dev "$link"

# Add the rules before the link is up and the default route exists.
ip route replace default dev lo src "$address" table "$outside"
ip rule del pref 1000 2>/dev/null || true
ip rule del pref 1001 2>/dev/null || true
ip rule add pref 1000 lookup main suppress_prefixlength 0
ip rule add pref 1001 lookup "$outside"

ip link set "$link" up
ip route replace default via "$gateway" dev "$link" src "$address"

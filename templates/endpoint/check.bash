#!/bin/bash
# Tells keepalived whether this control plane is fit to hold the address of the endpoint.
# The haproxy of this host checks what the script asks it for. bash opens the connection,
# since a host may have no HTTP client.
# Arguments:
#   may-hold PORT [alone]
#       Succeeds if the API server of this host is ready, which needs a majority of etcd:
#       a control plane that is cut off may not hold the address, also after a boot.
#       Before kubeadm init, nobody needs it. Always succeeds for the only control plane.
#   kubelet PORT   Succeeds if the kubelet of this host is healthy.
#   holds ADDRESS  Succeeds if this host has the address.
# PORT is where haproxy tells its state. Fails if haproxy does not answer.
set -eu

# Prints the status code of haproxy's answer.
status() {
	exec 3<>"/dev/tcp/127.0.0.1/$1"
	printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
	read -r _ code _ <&3
	echo "$code"
}

case $1 in
may-hold) [ "${3-}" = alone ] || [ "$(status "$2" /api-server)" = 200 ] ;;
kubelet) [ "$(status "$2" /kubelet)" = 200 ] ;;
holds) [ -n "$(ip -4 -o address show to "$2")" ] ;;
esac

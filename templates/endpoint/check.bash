#!/bin/bash
# Tells keepalived whether this control plane is fit to hold the address of the endpoint.
# The haproxy of this host checks what the script asks it for. bash opens the connection,
# since a host may have no HTTP client.
# Arguments:
#   may-hold PORT MARK [alone]
#       Succeeds if the API server of this host is ready, or if none has been ready since
#       keepalived started: the first kubeadm init needs the address. The file MARK counts
#       the calls that found one ready. Only three in a row count, since a haproxy that
#       has just started takes all servers for ready. Always succeeds for the only control
#       plane.
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
may-hold)
	[ "${4-}" != alone ] || exit 0
	calls=$(cat "$3" 2>/dev/null) || calls=
	code=$(status "$2" /api-server)
	case $code in
	200 | 409)
		[ "${#calls}" -ge 3 ] || printf . >>"$3"
		[ "$code" = 200 ]
		;;
	503)
		[ "${#calls}" -lt 3 ]
		rm -f "$3"
		;;
	*) exit 1 ;;
	esac
	;;
kubelet) [ "$(status "$2" /kubelet)" = 200 ] ;;
holds) [ -n "$(ip -4 -o address show to "$2")" ] ;;
esac

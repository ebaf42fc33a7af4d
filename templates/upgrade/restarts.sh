#!/bin/sh
# Prints how often the containers of static pods have ended, one number for each: kubelet
# numbers their logs. It cannot tell the API server while that of its own host is down.
# Arguments: for each static pod the name of its container, and what identifies the manifest
# with which it ran before, which does not count.
set -eu
while [ $# -gt 1 ]; do
	most=0
	for log in /var/log/pods/kube-system_"$1"-*/"$1"/*.log; do
		case $log in *_"$2"/*) continue ;; esac
		number=${log##*/}
		number=${number%.log}
		case $number in '' | *[!0-9]*) continue ;; esac
		[ "$number" -le "$most" ] || most=$number
	done
	echo "$most"
	shift 2
done

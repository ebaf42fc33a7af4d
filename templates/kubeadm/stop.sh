#!/bin/sh
# Stops an interrupted kubeadm and the kubelet that it started, so that their files
# can be deleted.
# Arguments: the unit of kubeadm, then "containers" to kill all containers of
# Kubernetes too: without kubelet, nothing starts them again.
set -eu
systemctl stop "$1" 2>/dev/null || true # systemd forgets a unit that has ended
systemctl stop kubelet.service
[ "${2-}" = containers ] || exit 0
ctr="/usr/local/bin/ctr --namespace k8s.io"
$ctr tasks list --quiet </dev/null | while read -r id; do
	$ctr tasks kill --signal SIGKILL "$id" </dev/null || true
done

#!/bin/sh
# Runs phases of `kubeadm init`, which keep files that exist, and syncs what they wrote.
# Arguments: the configuration of kubeadm, then phases: "certs etcd-ca", "etcd local", …
set -eu
config=$1
shift
for phase in "$@"; do
	# shellcheck disable=SC2086 # the words of the phase
	/usr/local/bin/kubeadm init phase $phase --config "$config" </dev/null
done
sync -f /etc/kubernetes

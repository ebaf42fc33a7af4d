#!/bin/sh
# Renews certificates of this host with kubeadm, one after another: each keeps its subject
# and its names.
# Arguments: a configuration of kubeadm, or nothing to use that of the cluster, or else the
# defaults; then names for `kubeadm certs renew`.
set -eu
config=$1
shift
for name; do
	/usr/local/bin/kubeadm certs renew "$name" ${config:+--config "$config"} </dev/null
done

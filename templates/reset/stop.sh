#!/bin/sh
# Stops kubelet, all pods and containerd, and unmounts the volumes of the pods.
# Containers of other namespaces of containerd keep running. Works without kubeadm
# too.
# Argument: the path of a ResetConfiguration for kubeadm.
set -eu
config=$1
# An interrupted run may have left its kubeadm running.
systemctl stop 'slipway-kubeadm-*.service' 2>/dev/null || true
systemctl stop kubelet.service 2>/dev/null || true
if [ -x /usr/local/bin/kubeadm ] && systemctl is-active --quiet containerd.service; then
	/usr/local/bin/kubeadm reset --config "$config"
fi
# Pods that kubeadm could not remove still have a shim process. It is not in the
# cgroup of the service: find it by its command line.
for pid in $(pgrep -f '^/usr/local/bin/containerd-shim-runc-v2 -namespace k8s.io ' || true); do
	kill -KILL "$pid" 2>/dev/null || true
done
systemctl stop containerd.service 2>/dev/null || true

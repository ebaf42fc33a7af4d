#!/bin/sh
# Stops all pods and containerd. Containers of other namespaces of containerd keep
# running. Works without kubeadm too, and with one that a power loss damaged. kubelet
# must not run.
# Argument: the path of a ResetConfiguration for kubeadm.
set -eu
config=$1
if [ -x /usr/local/bin/kubeadm ] && systemctl is-active --quiet containerd.service; then
	/usr/local/bin/kubeadm reset --config "$config" || echo "kubeadm reset failed with $?; continuing without it"
fi
# Pods that kubeadm could not remove still have a shim process. It is not in the
# cgroup of the service: find it by its command line.
for pid in $(pgrep -f '^/usr/local/bin/containerd-shim-runc-v2 -namespace k8s.io ' || true); do
	kill -KILL "$pid" 2>/dev/null || true
done
systemctl stop containerd.service 2>/dev/null || true

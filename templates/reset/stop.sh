#!/bin/sh
# Stops kubelet, every pod and what is left of them. Argument: kubeadm's
# ResetConfiguration, as a file; the host need not have kubeadm any more.
set -eu
config=$1
systemctl stop kubelet.service 2>/dev/null || true
if [ -x /usr/local/bin/kubeadm ] && systemctl is-active --quiet containerd.service; then
	/usr/local/bin/kubeadm reset --config "$config"
fi
# A pod that kubeadm could not remove still has its shim: the service's cgroup
# does not hold it, its command line does.
for pid in $(pgrep -f '^/usr/local/bin/containerd-shim-runc-v2 -namespace k8s.io ' || true); do
	kill -KILL "$pid" 2>/dev/null || true
done
systemctl stop containerd.service 2>/dev/null || true

# Mounts of pods and containers, the deepest first.
awk '$5 ~ "^/(var/lib/kubelet|var/lib/containerd|run/containerd|run/netns/cni-)" { print $5 }' /proc/self/mountinfo |
	sort -r | while read -r mount; do umount -l "$mount" 2>/dev/null || true; done

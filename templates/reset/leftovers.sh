#!/bin/sh
# Deletes the files that kubeadm, kubelet, the pod network and its CNI plugins wrote.
# Arguments: journal directory, the root directory ("" is the host's).
set -eu
journal=$1 root=$2

delete() { rm -rf --one-file-system "$@" || echo "could not delete all of $*"; }

etc=$root/etc/kubernetes
delete "$etc/pki" "$etc/tmp" \
	"$etc/admin.conf" "$etc/super-admin.conf" "$etc/kubelet.conf" "$etc/bootstrap-kubelet.conf" \
	"$etc/controller-manager.conf" "$etc/scheduler.conf" \
	"$etc/manifests/etcd.yaml" "$etc/manifests/kube-apiserver.yaml" \
	"$etc/manifests/kube-controller-manager.yaml" "$etc/manifests/kube-scheduler.yaml" \
	"$root/var/lib/etcd/member" "$root/run/kubernetes" "$root/var/lib/slipway/units" "$root/run/slipway/services" \
	"$root/usr/libexec/kubernetes/kubelet-plugins/volume/exec/nodeagent~uds"

# The logs of the pods, and the links to them.
delete "$root/var/log/pods"
if [ -d "$root/var/log/containers" ]; then
	find "$root/var/log/containers" -type l -lname '/var/log/pods/*' -exec rm -f {} +
	rmdir "$root/var/log/containers" 2>/dev/null || true
fi

# Flannel, Calico, and the addresses of pods: cbr0 and k8s-pod-network are the names
# of the networks.
delete "$root/run/flannel" "$root/run/calico" "$root/run/nodeagent" "$root/var/lib/calico" "$root/var/log/calico"
cni=$root/var/lib/cni
delete "$cni/flannel" "$cni/networks/cbr0" "$cni/networks/k8s-pod-network" \
	"$cni/results/cbr0-"* "$cni/results/k8s-pod-network-"* "$cni/results/cni-loopback-"*

# Whether a pod may have written the path: it was written after slipway began, and
# belongs to no package.
by_pod() {
	[ -e "$1" ] || [ -L "$1" ] || return 1
	[ ! -e "$journal/sysctls" ] || [ -n "$(find "$1" -maxdepth 0 -newer "$journal/sysctls")" ] || return 1
	! dpkg -S "$1" >/dev/null 2>&1 && ! rpm -qf "$1" >/dev/null 2>&1
}

# The names that pod networks of Kubernetes use.
for name in 00-multus.conf 00-multus.conflist multus.d whereabouts.d 05-cilium.conf 05-cilium.conflist \
	10-antrea.conflist 10-calico.conflist calico-kubeconfig calico-tls 10-canal.conflist 10-flannel.conflist \
	10-kuberouter.conf 10-kuberouter.conflist 10-weave.conflist; do
	if by_pod "$root/etc/cni/net.d/$name"; then delete "$root/etc/cni/net.d/$name"; fi
done
for name in antrea calico calico-ipam cilium-cni flannel multus multus-shim weave-ipam weave-net whereabouts; do
	if by_pod "$root/opt/cni/bin/$name"; then delete "$root/opt/cni/bin/$name"; fi
done

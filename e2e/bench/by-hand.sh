#!/bin/sh
# Installs a cluster as a skilled administrator does by hand: OpenSSH with one
# multiplexed connection per host, all hosts in parallel at each stage. Control planes
# join one after the other.
#
#   by-hand.sh SITE BUNDLE
#
# SITE has the files that the administrator prepares, rendered as slipway renders
# them:
#   hosts        a line per host: name role; the control planes first
#   ssh_config   how to reach them
#   root/        files for every host, at their paths
#   hosts-block  lines for /etc/hosts
#   init.yaml    for kubeadm init
#   join-NAME.yaml   for kubeadm join, with TOKEN and HASH in their places
#   endpoint/NAME/   configuration of haproxy and keepalived, if the control planes
#                share an address
#   flannel.yaml
#   ROLE.tar     the images of a role, as ctr imports them
#   ROLE.pins    the names of these images
#   ROLE.bin, plugins   the programs of a role and the CNI plugins, below BUNDLE
set -eu
site=$1 bundle=$2
ssh_config=$site/ssh_config
admin=/etc/kubernetes/admin.conf

on() { ssh -F "$ssh_config" "$@"; }

# reached MILESTONE prints it with the time since the start.
began=$(date +%s)
reached() { echo "after $(($(date +%s) - began)) s: $*"; }

names() { cut -d' ' -f1 "$site/hosts"; }
# with ROLE prints the names of the hosts with a role.
with() { sed -n "s/ $1\$//p" "$site/hosts"; }

close() {
	for name in $(names); do
		on -O exit "$name" 2>/dev/null || true
	done
}
trap close EXIT

# await PID... waits for all of them and fails if one failed.
await() {
	failed=
	for pid in "$@"; do
		wait "$pid" || failed=$pid
	done
	[ -z "$failed" ]
}

# copy DIRECTORY NAME copies the files in a directory to a host, at their paths.
copy() {
	(cd "$1" && find . -type f | tar -cf - -T -) | on "$2" 'sudo tar -C / --no-same-owner -xf -'
}

# prepare NAME ROLE prepares a host for kubeadm.
prepare() {
	tar -C "$bundle" -cf - -T "$site/$2.bin" |
		on "$1" 'sudo tar -C /usr/local/bin --no-same-owner --transform "s|.*/||" -xf -'
	tar -C "$bundle" -cf - -T "$site/plugins" |
		on "$1" 'sudo mkdir -p /opt/cni/bin && sudo tar -C /opt/cni/bin --no-same-owner --transform "s|.*/||" -xf -'
	copy "$site/root" "$1"
	on "$1" 'sudo tee -a /etc/hosts >/dev/null' <"$site/hosts-block"
	on "$1" sudo sh -eu <<-'END'
		sed -i '/^[^#].*[[:space:]]swap[[:space:]]/s/^/# /' /etc/fstab
		swapoff -a
		# modprobe fails where they are built into the kernel.
		modprobe --all overlay br_netfilter 2>/dev/null || true
		sysctl --quiet --load /etc/sysctl.d/90-kubernetes.conf
		systemctl daemon-reload
		systemctl enable --quiet --now containerd
		systemctl enable --quiet kubelet
		mkdir -p /etc/kubernetes
	END
	reached "$1 runs containerd"
	on "$1" sudo ctr --namespace k8s.io images import --digests=false - <"$site/$2.tar"
	# Without a registry, an image that garbage collection deletes is lost.
	on "$1" 'xargs -I{} sudo ctr --namespace k8s.io images label {} io.cri-containerd.pinned=pinned' <"$site/$2.pins"
}

# balance NAME installs and starts haproxy and keepalived on a control plane.
balance() {
	on "$1" sudo sh -eu <<-'END'
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update
		apt-get -qq -y --no-install-recommends install haproxy keepalived
	END
	copy "$site/endpoint/$1" "$1"
	on "$1" 'sudo systemctl enable --quiet haproxy keepalived && sudo systemctl restart haproxy keepalived'
	reached "$1 runs haproxy and keepalived"
}

# join NAME TOKEN HASH
join() {
	sed "s|TOKEN|$2|; s|HASH|$3|" "$site/join-$1.yaml" |
		on "$1" 'sudo tee /etc/kubernetes/join.yaml >/dev/null && sudo kubeadm join --config /etc/kubernetes/join.yaml'
}

first=$(names | head -n 1)

pids=
while read -r name role; do
	prepare "$name" "$role" </dev/null &
	pids="$pids $!"
	if [ -d "$site/endpoint/$name" ]; then
		balance "$name" </dev/null &
		pids="$pids $!"
	fi
done <"$site/hosts"
# The lists are split into words on purpose, here and below.
# shellcheck disable=SC2086
await $pids
reached "hosts are prepared"

planes=$(with control-plane | tail -n +2)
on "$first" "sudo tee /etc/kubernetes/init.yaml >/dev/null && sudo kubeadm init --config /etc/kubernetes/init.yaml ${planes:+--upload-certs}" <"$site/init.yaml"
on "$first" sudo kubectl --kubeconfig "$admin" apply -f - <"$site/flannel.yaml"
reached "the control plane is up"

# kubeadm join ENDPOINT --token TOKEN --discovery-token-ca-cert-hash HASH
command=$(on "$first" sudo kubeadm token create --print-join-command)
# shellcheck disable=SC2086
set -- $command
token=$5 hash=$7
pids=
for name in $(with worker); do
	join "$name" "$token" "$hash" &
	pids="$pids $!"
done
for name in $planes; do
	join "$name" "$token" "$hash"
	reached "$name has joined"
done
# shellcheck disable=SC2086
await $pids
reached "workers have joined"

# shellcheck disable=SC2046
on "$first" sudo kubectl --kubeconfig "$admin" label node $(with worker) node-role.kubernetes.io/worker=
on "$first" sudo kubectl --kubeconfig "$admin" wait --for=condition=Ready --timeout=240s node --all
reached "all nodes are ready"

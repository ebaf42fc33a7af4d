#!/bin/sh
# Replaces the CAs of a cluster whose control planes run etcd: see docs/certificates.md for
# the order of the steps, and for the hosts on which each of them runs. Run it as root. A
# step that was interrupted can be repeated.
#
#   rotate-ca.sh new VERSION   a control plane: creates the new CAs in /etc/kubernetes/ca-next
#   rotate-ca.sh trust         each host: trusts the old and the new CAs
#   rotate-ca.sh switch        each control plane: signs with the new CAs
#   rotate-ca.sh issue NODE    a control plane: prints a certificate and a key for a kubelet
#   rotate-ca.sh take          each node: kubelet uses those on standard input
#   rotate-ca.sh forget        each host: trusts only the new CAs
set -eu
umask 077
PATH=/usr/local/bin:$PATH
etc=/etc/kubernetes pki=/etc/kubernetes/pki
next=$etc/ca-next before=$etc/ca-before

control_plane() { [ -e "$etc/manifests/kube-apiserver.yaml" ]; }

need() {
	[ -s "$1" ] || {
		echo "$1 is missing" >&2
		exit 1
	}
}

# The CAs that the host knows: nodes only have that of the cluster.
authorities() {
	echo ca
	! control_plane || printf 'front-proxy-ca\netcd/ca\n'
}

# Replaces a file by standard input at once: others read it meanwhile. kubelet would take a
# temporary file beside a manifest for another one.
replace() {
	part=$(mktemp "$etc/.rotate-XXXXXX")
	cat >"$part"
	[ -s "$part" ] || {
		rm "$part"
		echo "nothing to write to $1" >&2
		exit 1
	}
	chmod --reference="$1" "$part"
	mv "$part" "$1"
}

# Puts the CAs that are trusted into all kubeconfigs.
kubeconfigs() {
	data=$(base64 -w 0 "$pki/ca.crt")
	for conf in "$etc"/*.conf; do
		sed "s|certificate-authority-data: .*|certificate-authority-data: $data|" "$conf" | replace "$conf"
	done
}

# The controller manager signs with a file that must have exactly one certificate.
signer() {
	manifest=$etc/manifests/kube-controller-manager.yaml
	sed "s|--cluster-signing-cert-file=.*|--cluster-signing-cert-file=$1|" "$manifest" | replace "$manifest"
}

admin() { kubectl --kubeconfig "$etc/admin.conf" "$@"; }

# Waits until the API server of this host is ready, and with it etcd.
ready() {
	port=$(sed -n 's/.*--secure-port=//p' "$etc/manifests/kube-apiserver.yaml")
	until admin --server "https://127.0.0.1:$port" --tls-server-name kubernetes get --raw /readyz >/dev/null 2>&1; do sleep 1; done
}

running() {
	ctr --namespace k8s.io containers list --quiet "labels.\"io.kubernetes.pod.namespace\"==\"kube-system\",labels.\"io.kubernetes.container.name\"==\"$1\",labels.\"io.kubernetes.pod.uid\"~=\"^[0-9a-f]+$\"" |
		while read -r id; do
			ctr --namespace k8s.io tasks list | awk -v id="$id" '$1 == id && $3 == "RUNNING" { print id }'
		done
}

# Ends the container of a static pod. kubelet starts it again.
restart() {
	for id in $(running "$1"); do
		ctr --namespace k8s.io tasks kill --signal SIGTERM "$id" || true
		while running "$1" | grep -qx "$id"; do sleep 0.5; done
	done
}

# Restarts what reads the CAs only when it starts.
restart_all() {
	if control_plane; then
		restart etcd
		ready
		restart kube-apiserver
		ready
		restart kube-controller-manager
		restart kube-scheduler
		restart kube-vip
		ready
		data=$(base64 -w 0 "$pki/ca.crt")
		admin get --namespace kube-public configmap cluster-info --output yaml |
			sed "s|certificate-authority-data: .*|certificate-authority-data: $data|" | admin replace --filename - >/dev/null
	fi
	systemctl restart kubelet
}

new() {
	for phase in ca front-proxy-ca etcd-ca; do # kubeadm keeps those that exist
		kubeadm init phase certs "$phase" --cert-dir "$next" --kubernetes-version "$1"
	done
}

trust() {
	mkdir -p "$before/etcd"
	for ca in $(authorities); do
		need "$next/$ca.crt"
		[ -e "$before/$ca.crt" ] || cp -p "$pki/$ca.crt" "$before/$ca.crt"
		cat "$before/$ca.crt" "$next/$ca.crt" | replace "$pki/$ca.crt"
	done
	if control_plane; then
		cp "$before/ca.crt" "$pki/ca-signer.crt"
		signer "$pki/ca-signer.crt"
	fi
	kubeconfigs
	restart_all
}

switch() {
	for ca in $(authorities); do
		need "$before/$ca.crt"
		need "$next/$ca.key"
		cat "$next/$ca.crt" "$before/$ca.crt" | replace "$pki/$ca.crt" # kubeadm signs with the first one
		[ "$ca" != ca ] || cp "$next/ca.crt" "$pki/ca-signer.crt"
		replace "$pki/$ca.key" <"$next/$ca.key"
	done
	kubeadm certs renew all
	kubeconfigs
	restart kube-controller-manager
	restart kube-scheduler
	restart kube-vip
	ready
}

issue() {
	config=$(mktemp)
	admin get --namespace kube-system configmap kubeadm-config --output 'jsonpath={.data.ClusterConfiguration}' >"$config"
	kubeadm kubeconfig user --config "$config" --org system:nodes --client-name "system:node:$1" |
		awk '$1 == "client-certificate-data:" || $1 == "client-key-data:" { print $2 }' |
		while read -r data; do echo "$data" | base64 -d; done
	rm "$config"
}

take() {
	dir=/var/lib/kubelet/pki
	cat >"$dir/kubelet-client-rotated.pem"
	grep -q 'PRIVATE KEY' "$dir/kubelet-client-rotated.pem"
	ln -sfn "$dir/kubelet-client-rotated.pem" "$dir/kubelet-client-current.pem"
	systemctl restart kubelet
}

forget() {
	[ -d "$next" ] || {
		echo "there is no $next: nothing to do"
		exit 0
	}
	for ca in $(authorities); do
		replace "$pki/$ca.crt" <"$next/$ca.crt"
	done
	if control_plane; then
		signer "$pki/ca.crt"
		rm -f "$pki/ca-signer.crt"
	fi
	kubeconfigs
	rm -f /var/lib/kubelet/pki/kubelet-server-current.pem # kubelet requests another one
	restart_all
	rm -rf "$next" "$before"
}

case ${1-} in
new) new "${2:?the version of Kubernetes, such as v1.36.4}" ;;
issue) issue "${2:?the name of a node}" ;;
trust | switch | take | forget) "$1" ;;
*)
	sed -n '2,13s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac

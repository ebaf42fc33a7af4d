#!/bin/sh
# Replaces the certificate of the API server by one with other names. The API server reads
# it again by itself. Run it as a unit: between the two renames at its end, the key and the
# certificate do not belong together.
# Arguments: the path of kubeadm, and the document that it reads, whose certificatesDir is
# the directory of the document.
set -eu
kubeadm=$1 document=$2
dir=${document%/*} pki=/etc/kubernetes/pki
rm -f "$dir"/apiserver.*
trap 'rm -f "$dir"/ca.key "$dir"/ca.crt "$dir"/apiserver.*' EXIT
cp -p "$pki/ca.crt" "$pki/ca.key" "$dir/"
"$kubeadm" init phase certs apiserver --config "$document"
sync -f "$dir"
mv -f "$dir/apiserver.key" "$pki/apiserver.key"
mv -f "$dir/apiserver.crt" "$pki/apiserver.crt"

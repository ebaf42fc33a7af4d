#!/bin/sh
# Saves a snapshot of the member of etcd on this host, with the programs of the image that
# runs there, and verifies it: etcd appends a checksum to a snapshot. The snapshot gets its
# name when it is whole and on disk. Prints the image, the size, the checksum of the file,
# and what etcdutl says of it.
# Arguments: path of the snapshot, after tool.sh. Its directory is created.
set -eu
path=$1
directory=$(dirname "$path") new=.$(basename "$path").slipway-new
manifest=/etc/kubernetes/manifests/etcd.yaml

[ -f "$manifest" ] || { echo "this host runs no member of etcd: it has no $manifest" >&2 && exit 1; }
image=$(sed -n 's/^ *image: *//p' "$manifest" | head -n 1)
[ -n "$image" ] || { echo "$manifest names no image" >&2 && exit 1; }
(umask 077 && mkdir -p "$directory")
chmod 700 "$directory"
lock_tool
cd "$directory"
rm -f "$new" "$new.part"
trap 'rm -f "$new" "$new.part"' EXIT

# Standard output has the result only.
run_tool "$image" "$directory" /usr/local/bin/etcdctl --endpoints https://127.0.0.1:2379 \
	--cacert /pki/ca.crt --cert /pki/healthcheck-client.crt --key /pki/healthcheck-client.key \
	--dial-timeout 10s --command-timeout 10m snapshot save "/slipway/$new" >&2
chmod 600 "$new"

size=$(stat -c %s "$new")
if [ $((size % 512)) -ne 32 ]; then
	echo "the snapshot has no checksum: $size bytes" >&2
	exit 1
fi
content=$(head -c $((size - 32)) "$new" | sha256sum)
appended=$(tail -c 32 "$new" | od -An -v -tx1 | tr -d ' \n')
if [ "${content%% *}" != "$appended" ]; then
	echo "the snapshot is damaged: its checksum is ${content%% *}, and etcd wrote $appended" >&2
	exit 1
fi
status=$(run_tool "$image" "$directory" /usr/local/bin/etcdutl snapshot status "/slipway/$new" --write-out json)
sum=$(sha256sum <"$new")

sync "$new"
mv -T "$new" "$(basename "$path")"
sync .
echo "image $image"
echo "size $size"
echo "sha256 ${sum%% *}"
echo "status $status"

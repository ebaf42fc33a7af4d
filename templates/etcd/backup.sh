#!/bin/sh
# Makes a backup of the snapshot that snapshot.sh has saved, as "slipway backup create" does,
# but without the keys of the cluster, and deletes old ones. It runs by a timer.
# Arguments: path of the snapshot, which is deleted; name of the cluster; name of the host;
# version of Kubernetes if the host has no API server; file with the fields that cannot change,
# in JSON; number of backups that stay.
# shellcheck disable=SC2154 # snapshot.sh assigns path, directory, image, size, sum and status
set -eu
umask 077
cluster=$2 host=$3 version=$4 fixed=$(cat "$5") keep=$6
suffix=.slipway.tar

# A number or a text in what etcdutl said.
number() { printf '%s' "$status" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
text() { printf '%s' "$status" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

running=$(sed -n 's/^ *image: .*kube-apiserver:\(v[0-9.]*\)$/\1/p' "${manifest%/*}/kube-apiserver.yaml" 2>/dev/null | head -n 1) || true
now=$(date +%s)
created=$(date -u -d "@$now" +%Y-%m-%dT%H:%M:%SZ)
name=$cluster-$(date -u -d "@$now" +%Y%m%dT%H%M%SZ)$suffix

# The lock of snapshot.sh is still held: others are those of scripts that were killed.
rm -rf .incomplete-*
work=$(mktemp -d .incomplete-XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/etcd"
mv "$(basename "$path")" "$work/etcd/snapshot.db"
tar -C "$work" -czf "$work/content.tar.gz" etcd/snapshot.db
cat >"$work/manifest.json" <<-MANIFEST
	{
	  "format": 1,
	  "cluster": "$cluster",
	  "created": "$created",
	  "kubernetes": "${running:-$version}",
	  "host": "$host",
	  "etcd": {
	    "image": "$image",
	    "size": $size,
	    "sha256": "${sum%% *}",
	    "hash": $(number hash),
	    "revision": $(number revision),
	    "keys": $(number totalKey),
	    "storageVersion": "$(text version)"
	  },
	  "pki": false,
	  "encryption": "none",
	  "fixed": $fixed,
	  "files": [{"name": "etcd/snapshot.db", "size": $size, "sha256": "${sum%% *}", "mode": 384}]
	}
MANIFEST
tar -C "$work" --format=ustar --owner=0 --group=0 --numeric-owner -cf "$work/backup.tar" manifest.json content.tar.gz
whole=$(sha256sum <"$work/backup.tar")
printf '\nslipway-backup sha256:%s\n' "${whole%% *}" >>"$work/backup.tar"
sync "$work/backup.tar"
mv -T "$work/backup.tar" "$name"
sync .
echo "wrote $directory/$name"

find . -maxdepth 1 -type f -name "$cluster-????????T??????Z$suffix" | sort -r | tail -n "+$((keep + 1))" |
	while read -r old; do
		rm -f "$old"
		echo "deleted $directory/${old#./}"
	done

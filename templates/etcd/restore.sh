#!/bin/sh
# Restores a snapshot of etcd as the data of a new member, which is alone, after tool.sh. It
# does nothing if there is data: the data gets its name when it is whole and on disk.
# Revisions continue far above those of the snapshot, and the old ones count as compacted, so
# that nothing that has watched the lost cluster takes old objects for current ones.
# Arguments: image of etcd, data directory, which has the snapshot in
# .slipway-restore/snapshot.db, name of the member, its peer URL.
set -eu
image=$1 data=$2 name=$3 peer=$4
work=$data/.slipway-restore
[ ! -e "$data/member" ] || exit 0
chmod 700 "$data"
lock_tool
rm -rf "$work/data"
run_tool "$image" "$data" /usr/local/bin/etcdutl snapshot restore /slipway/.slipway-restore/snapshot.db \
	--data-dir /slipway/.slipway-restore/data --name "$name" --initial-cluster "$name=$peer" \
	--initial-advertise-peer-urls "$peer" --bump-revision 1000000000 --mark-compacted >&2
sync -f "$data"
mv -T "$work/data/member" "$data/member"
sync "$data"
rm -rf "$work"

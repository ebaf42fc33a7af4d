#!/bin/sh
# Runs a container in a namespace of its own of slipway's containerd.
set -eu
root=/srv/admin-root
mkdir -p $root/usr $root/proc $root/dev $root/sys $root/tmp $root/run $root/etc
ln -s usr/bin $root/bin
ln -s usr/lib $root/lib
ln -s usr/lib64 $root/lib64
/usr/local/bin/ctr --namespace admin run --detach --rootfs --net-host \
	--mount type=bind,src=/usr,dst=/usr,options=rbind:ro $root admin /usr/bin/sleep infinity
/usr/local/bin/ctr --namespace admin tasks list | grep -q '^admin .*RUNNING'

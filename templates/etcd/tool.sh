#!/bin/sh
# The beginning of the scripts that run programs of etcd's image. The image has no shell:
# each program runs in a container, whose name is fixed, so that the next script deletes
# what a killed one has left.
set -eu
ctr="/usr/local/bin/ctr --namespace k8s.io"
container=slipway-etcd-tool
pki=/etc/kubernetes/pki/etcd

# Waits for another script that uses the container. A program that a killed script has
# started keeps the lock until it ends.
lock_tool() {
	mkdir -p /run/slipway
	exec 9>/run/slipway/etcd-tool.lock
	if ! flock --nonblock 9; then
		echo "slipway: waiting for another snapshot of etcd"
		flock --timeout 600 9 || { echo "another program of etcd's image runs on this host" >&2 && exit 1; }
	fi
	$ctr tasks delete --force "$container" </dev/null >/dev/null 2>&1 || true
	$ctr containers delete "$container" </dev/null >/dev/null 2>&1 || true
	$ctr snapshots delete "$container" </dev/null >/dev/null 2>&1 || true
}

# Runs a program of an image on the files of a directory, which the container has at
# /slipway. Arguments: image, directory, program, its arguments.
run_tool() {
	image=$1 files=$2
	shift 2
	set -- "$image" "$container" "$@"
	set -- --mount "type=bind,src=$files,dst=/slipway,options=rbind:rw" "$@"
	if [ -d "$pki" ]; then
		set -- --mount "type=bind,src=$pki,dst=/pki,options=rbind:ro" "$@"
	fi
	$ctr run --rm --net-host "$@" </dev/null
}

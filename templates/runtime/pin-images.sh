#!/bin/sh
# Labels images, so that garbage collection does not remove them. The label also says
# that an image is complete: its files are on disk first, since containerd syncs its
# metadata, and not what it unpacks.
# Arguments: label, image...
set -eu
label=$1
shift
sync -f /var/lib/containerd
for image in "$@"; do
	/usr/local/bin/ctr --namespace k8s.io images label "$image" "$label" >/dev/null
done

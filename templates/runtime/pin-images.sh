#!/bin/sh
# Labels images, so that garbage collection does not remove them.
# Arguments: label, image...
set -eu
label=$1
shift
for image in "$@"; do
	/usr/local/bin/ctr --namespace k8s.io images label "$image" "$label" >/dev/null
done

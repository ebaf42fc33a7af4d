#!/bin/sh
# Adds the cluster's containers to a list before they are stopped, one "ID NETNS" a
# line. NETNS is the name of a Pod's network namespace, or nothing.
# Arguments: the list, the directory of the containers' bundles.
set -eu
list=$1 bundles=$2
mkdir -p "$(dirname "$list")"
touch "$list"
for bundle in "$bundles"/*/; do
	[ -e "$bundle/config.json" ] || continue
	netns=$(grep -o '"path":"[^"]*/run/netns/[^"/]*"' "$bundle/config.json" | head -n 1) || true
	netns=${netns##*/}
	echo "$(basename "$bundle") ${netns%\"}" >>"$list"
done

#!/bin/sh
# Closes the journal: it is kept for people, under the time of the reset.
# Arguments: journal folder, name of the archive.
set -eu
mkdir -p "$(dirname "$2")"
[ -d "$1" ] && mv -T "$1" "$2"
systemctl daemon-reload
systemctl reset-failed 'slipway-*' kubelet.service containerd.service 2>/dev/null || true
exit 0

#!/bin/sh
# Gives the host a name as an iSCSI initiator, as some packages do when they
# are installed, unless it has one.
set -eu
file=/etc/iscsi/initiatorname.iscsi
[ -s "$file" ] || printf 'InitiatorName=%s\n' "$(iscsi-iname)" >"$file"

#!/bin/sh
# Generates the host's name as an iSCSI initiator if it has none. Some packages do
# this during their installation.
set -eu
file=/etc/iscsi/initiatorname.iscsi
[ -s "$file" ] || printf 'InitiatorName=%s\n' "$(iscsi-iname)" >"$file"

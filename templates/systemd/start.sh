#!/bin/sh
# Enables a service and starts it anew, so that it runs with the files as they
# are now. Its last log lines are printed if it does not come up.
# Argument: service
set -eu
systemctl daemon-reload
systemctl enable --quiet "$1"
if ! systemctl restart "$1"; then
	journalctl --no-pager --lines 20 --unit "$1" >&2
	exit 1
fi

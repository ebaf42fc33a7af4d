#!/bin/sh
# Enables a service and restarts it with its current files. Prints the end of its
# log if it does not start.
# Argument: service.
set -eu
systemctl daemon-reload
systemctl enable --quiet "$1"
if ! systemctl restart "$1"; then
	journalctl --no-pager --lines 20 --unit "$1" >&2
	exit 1
fi

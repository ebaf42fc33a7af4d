#!/bin/sh
# Checks the schedule of a timer, enables the timer, and starts it with its current files.
# Arguments: timer, schedule.
set -eu
if ! systemd-analyze calendar "$2" >/dev/null; then
	echo "\"$2\" is not a calendar event of systemd: see man systemd.time" >&2
	exit 1
fi
systemctl daemon-reload
systemctl enable --quiet "$1"
systemctl restart "$1"

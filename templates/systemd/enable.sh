#!/bin/sh
# Reloads the units of systemd and enables a service, so that it starts at boot.
# Argument: service.
set -eu
systemctl daemon-reload
systemctl enable --quiet "$1"

#!/bin/sh
# Enables a service for the next boot and makes systemd reload its unit.
# Argument: service
set -eu
systemctl daemon-reload
systemctl enable --quiet "$1"

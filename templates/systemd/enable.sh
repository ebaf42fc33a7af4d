#!/bin/sh
# Enables a service for the next boot and makes systemd read its unit anew.
# Argument: service
set -eu
systemctl daemon-reload
systemctl enable --quiet "$1"

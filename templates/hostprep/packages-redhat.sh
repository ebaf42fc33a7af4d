#!/bin/sh
# Installs packages with dnf, which updates expired metadata itself.
# Arguments: package...
set -eu
dnf -q -y install "$@"

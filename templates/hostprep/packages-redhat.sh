#!/bin/sh
# Installs packages with dnf, which fetches the lists of packages itself when
# they are old.
set -eu
dnf -q -y install "$@"

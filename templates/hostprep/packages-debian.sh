#!/bin/sh
# Installs Debian packages; the lists of packages are fetched only if the ones
# that the machine has do not do.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -q -y --no-install-recommends install "$@" || {
	apt-get -q update
	apt-get -q -y --no-install-recommends install "$@"
}

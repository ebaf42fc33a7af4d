#!/bin/sh
# Installs Debian packages; the lists of packages are fetched only if the ones
# that the host has do not do.
set -eu
export DEBIAN_FRONTEND=noninteractive
# What was interrupted comes first, or apt-get refuses. A package that is broken
# for good need not be in the way of these.
dpkg --configure -a || :
apt-get -q -y --no-install-recommends install "$@" || {
	apt-get -q update
	apt-get -q -y --no-install-recommends install "$@"
}

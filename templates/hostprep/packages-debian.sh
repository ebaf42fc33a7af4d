#!/bin/sh
# Installs Debian packages. Updates the package lists only if the installation
# fails with the current ones.
# Arguments: package...
set -eu
export DEBIAN_FRONTEND=noninteractive
# needrestart would search all processes, and may restart services that slipway does not
# know.
export NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l
# Finish interrupted installations, without which apt-get refuses to run. Ignore
# errors: a broken package need not affect this installation.
dpkg --configure -a || :
apt-get -q -y --no-install-recommends install "$@" || {
	apt-get -q update
	apt-get -q -y --no-install-recommends install "$@"
}

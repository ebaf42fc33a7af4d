#!/bin/sh
# Checks that Debian packages are installed.
#
#   e2e/packages.sh [--install] PACKAGE...
#
# --install installs the missing ones, as root. Standard output stays empty.
set -eu
install=
if [ "$1" = --install ]; then
	install=yes
	shift
fi

missing=
for package; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=absent
	[ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
	exit
fi
if [ -z "$install" ] || [ "$(id -u)" -ne 0 ]; then
	echo "missing packages; as root, run: apt-get install$missing" >&2
	exit 1
fi
apt-get update -q >&2
# The list is split into words on purpose.
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2

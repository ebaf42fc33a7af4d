#!/bin/sh
# Brings up a lab of machine containers with a bundle built from source, for
# places without a hypervisor, release servers or an image registry.
#
#   e2e/lab.sh [option of "slipway lab up"]...   bring a lab up, or go on with it
#   e2e/lab.sh bench [option]...                 measure a lab of its own, and take it down
#
# Needs root on Debian, Go, and bin/slipway (make build).
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
	echo "machine containers need root: sudo make lab" >&2
	exit 1
fi

# What the lab needs; what building the bundle needs, that program installs.
missing=
for package in debootstrap systemd-container iproute2; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=absent
	[ "$status" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
	apt-get update -q
	# The list is split into its words on purpose.
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
fi

# Prints the bundle's folder. What was built before is taken from its cache.
bundle=$(go run ./e2e/source -install)

if [ "${1-}" != bench ]; then
	exec bin/slipway lab up --bundle "$bundle" "$@"
fi
shift

# timed WHAT COMMAND... says how many seconds a command took.
timed() {
	what=$1 start=$(date +%s)
	shift
	"$@"
	echo "$what: $(($(date +%s) - start)) s"
}

trap 'bin/slipway lab down --name bench' EXIT
timed "machines and cluster" bin/slipway lab up --name bench --bundle "$bundle" "$@"
timed "once more, nothing to change" bin/slipway lab up --name bench --bundle "$bundle" "$@"

#!/bin/sh
# Looks for what machine containers need on this machine, makes or reuses a
# bundle built from source, and prints its path.
#
#   e2e/prepare.sh [--install | --packages] [--addons]
#
# --install installs missing Debian packages, --packages does nothing more.
# With --addons the bundle has all addons that can be built from source.
# With SLIPWAY_BUNDLE set, that bundle is used and none is made.
set -eu
cd "$(dirname "$0")/.."
install=
addons=flannel
for option; do
	case $option in
	--install | --packages) install=$option ;;
	--addons) addons=flannel,local-path,metallb,metrics-server,traefik ;;
	*)
		echo "unknown option: $option" >&2
		exit 1
		;;
	esac
done

if [ "$(id -u)" -ne 0 ]; then
	echo "machine containers need root: run this with sudo" >&2
	exit 1
fi

missing=
for package in debootstrap systemd-container iproute2 openssh-client; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=absent
	[ "$status" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
	if [ -z "$install" ]; then
		echo "packages are missing; as root: apt-get install$missing" >&2
		exit 1
	fi
	# The list is split into its words on purpose; standard output is the path.
	apt-get update -q >&2
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
fi

if [ "$install" = --packages ]; then
	exit
fi
if [ -n "${SLIPWAY_BUNDLE-}" ]; then
	printf '%s\n' "$SLIPWAY_BUNDLE"
	exit
fi
if ! command -v go >/dev/null; then
	echo "go is missing; the version that is needed stands in go.mod: https://go.dev/dl" >&2
	exit 1
fi
# What was built before comes from its cache. With the settings of "make build",
# the compiler takes what both programs are made of from its own.
export GOGC="${GOGC:-400}" CGO_ENABLED=0
if [ "$install" = --install ]; then
	exec go run -trimpath ./e2e/source -addons "$addons" -install
fi
exec go run -trimpath ./e2e/source -addons "$addons"

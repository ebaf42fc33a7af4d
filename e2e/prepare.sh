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

e2e/packages.sh ${install:+--install} debootstrap systemd-container iproute2 openssh-client
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

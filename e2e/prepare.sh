#!/bin/sh
# Checks that this computer can run machine containers, builds a bundle from source or
# reuses a cached one, and prints its path.
#
#   e2e/prepare.sh [--install | --packages] [--addons | --calico] [--kubernetes VERSION] [--arch ARCH]
#
# --install installs missing Debian packages. --packages only installs packages.
# --addons adds all addons that can be built from source to the bundle. --calico adds
# Calico, whose manifests are read from SLIPWAY_UPSTREAM.
# --kubernetes and --arch select another version and another architecture.
# SLIPWAY_BUNDLE is the path of a bundle to use instead.
set -eu
cd "$(dirname "$0")/.."
install=
addons=flannel
kubernetes=
arch=
while [ $# -gt 0 ]; do
	case $1 in
	--install | --packages) install=$1 ;;
	--addons) addons=flannel,local-path,metallb,metrics-server,traefik ;;
	--calico) addons=calico,flannel ;;
	--kubernetes)
		kubernetes=${2:?}
		shift
		;;
	--arch)
		arch=${2:?}
		shift
		;;
	*)
		echo "unknown option: $1" >&2
		exit 1
		;;
	esac
	shift
done

if [ "$(id -u)" -ne 0 ]; then
	echo "machine containers need root: run this script with sudo" >&2
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
	echo "go is not installed; go.mod has the required version: https://go.dev/dl" >&2
	exit 1
fi
# With the settings of "make build", the two share Go's build cache.
export GOGC="${GOGC:-400}" CGO_ENABLED=0
set -- -addons "$addons" ${kubernetes:+-kubernetes "$kubernetes"} ${arch:+-arch "$arch"}
[ "$install" != --install ] || set -- "$@" -install
exec go run -trimpath ./e2e/source "$@"

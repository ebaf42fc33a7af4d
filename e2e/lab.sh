#!/bin/sh
# Brings up a lab of machine containers with a cluster on it, from a bundle
# built from source, for places without a hypervisor, release servers or an
# image registry. Run again, it goes on, or says that all is there.
#
#   e2e/lab.sh [option of "slipway lab up"]...
#
# Needs root on Debian, Go, and bin/slipway (make build). LAB is the lab's name.
set -eu
cd "$(dirname "$0")/.."
name=${LAB:-lab}
# With addons the bundle has those that can be built from source.
addons=
case " $* " in
*" --addons"*) addons=--addons ;;
esac

# The machines need no bundle: they are made while it is.
e2e/prepare.sh --packages
bin/slipway lab up --provider container --name "$name" --machines-only "$@" >/dev/null &
machines=$!
trap 'kill "$machines" 2>/dev/null || :' EXIT
bundle=$(e2e/prepare.sh --install $addons)
wait "$machines"
trap - EXIT
bin/slipway lab up --provider container --name "$name" --bundle "$bundle" "$@"

kubectl=$bundle/bin/linux-$(go env GOARCH)/kubectl
printf '\n'
"$kubectl" --context "$name" get nodes -o wide
if ! command -v kubectl >/dev/null; then
	printf '\nkubectl is not installed here; the bundle has it:\n  %s --context %s get pods -A\n' "$kubectl" "$name"
fi

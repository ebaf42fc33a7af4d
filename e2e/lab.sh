#!/bin/sh
# Creates a lab of machine containers and a cluster on it, with a bundle built from
# source: for computers without a hypervisor or without access to release servers and
# registries. Rerun it to resume.
#
#   e2e/lab.sh [option of "slipway lab up"]...
#
# Needs root on Debian, Go, and bin/slipway (make build). LAB is the name of the lab.
set -eu
cd "$(dirname "$0")/.."
name=${LAB:-lab}
# With --addons, the bundle contains the addons that can be built from source.
addons=
case " $* " in
*" --addons"*) addons=--addons ;;
esac

# The machines are created while the bundle is built.
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
	printf '\nkubectl is not installed; the bundle contains it:\n  %s --context %s get pods -A\n' "$kubectl" "$name"
fi

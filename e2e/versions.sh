#!/bin/sh
# Creates a cluster of each version of Kubernetes that can be built from source, with
# bin/slipway (make build), validates it and resets it. A version other than the usual
# one is compiled with a build cache of its own, which is deleted afterwards.
#
#   e2e/versions.sh [VERSION]...
#
# Needs root on Debian and Go; with CI set, missing packages are installed. Prints a
# line for each version, and leaves the lines in $ARTIFACTS/versions.txt.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- v1.35.8 v1.36.4 v1.37.2

SLIPWAY_BIN=$PWD/bin/slipway
SLIPWAY_E2E_LAB=e2e-version-$$
ARTIFACTS=${ARTIFACTS:-$PWD/artifacts}
export SLIPWAY_BUNDLE SLIPWAY_BIN SLIPWAY_E2E_LAB SLIPWAY_E2E_VERSION ARTIFACTS
mkdir -p "$ARTIFACTS"
: >"$ARTIFACTS/versions.txt"

# The test deletes its lab; this is for a test that is killed.
down() {
	[ "${SLIPWAY_KEEP_LAB-}" = 1 ] || "$SLIPWAY_BIN" lab down --name "$SLIPWAY_E2E_LAB"
}
trap down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=
for SLIPWAY_E2E_VERSION; do
	start=$(date +%s)
	SLIPWAY_BUNDLE=$(unset SLIPWAY_BUNDLE && e2e/prepare.sh ${CI:+--install} --kubernetes "$SLIPWAY_E2E_VERSION")
	echo "$SLIPWAY_E2E_VERSION bundle: $(($(date +%s) - start)) s" >>"$ARTIFACTS/versions.txt"
	go test -tags e2e -count=1 -v -timeout 30m -run '^TestVersion$' ./e2e || failed="$failed $SLIPWAY_E2E_VERSION"
done
cat "$ARTIFACTS/versions.txt"
if [ -n "$failed" ]; then
	echo "failed:$failed" >&2
	exit 1
fi

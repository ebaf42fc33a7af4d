#!/bin/sh
# Prints files of a node as they are, and as kubeadm would write them. Changes nothing on
# the host: kubeadm writes to a temporary directory.
# Arguments: the path of kubeadm, the document that it reads, its phases, separated by
# commas; then the files to print as they are.
# Each line is "wanted" or "have", the name of the file or its path, and the content in
# base64, separated by tabs.
set -eu
kubeadm=$1 document=$2 phases=$3
shift 3
# In a plan, it may still have to be uploaded.
[ -x "$kubeadm" ] || {
	echo "$kubeadm: not found" >&2
	exit 127
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '%s' "$document" >"$dir/document.yaml"
mkdir "$dir/files"
# kubeadm writes the proxy variables of its environment into manifests: it gets none.
(
	IFS=,
	for phase in $phases; do
		IFS=' '
		# shellcheck disable=SC2086 # a phase and its subphase
		env -i PATH="$PATH" KUBEADM_INIT_DRYRUN_DIR="$dir/files" \
			"$kubeadm" init phase $phase --config "$dir/document.yaml" --dry-run >"$dir/log" 2>&1 || {
			cat "$dir/log" >&2
			exit 1
		}
		IFS=,
	done
)
line() { printf '%s\t%s\t%s\n' "$1" "$2" "$(base64 -w 0 "$3")"; }
for file in "$dir/files"/*; do
	line wanted "${file##*/}" "$file"
done
for file; do
	[ ! -e "$file" ] || line have "$file" "$file"
done

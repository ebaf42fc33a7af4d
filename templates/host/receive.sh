# shellcheck shell=sh
# Receives files as a tar archive on its standard input, verifies them and puts
# them in place, all or none. It is given to `sh -c`. The last two files of the
# archive are the sums of the others, for b2sum and sha256sum --check.
# Arguments: directory, and the size of the files in bytes.
# Exit code 65: a file differs from what was sent.
set -eu
dir=$1 need=$2

# tar's last line does not say that a disk is full.
check_space() {
	blocks=$(stat -f -c %f "$dir") && size=$(stat -f -c %S "$dir") || return 0
	free=$((blocks * size))
	[ "$free" -lt "$1" ] || return 0
	echo "no space left on device in $dir: $((free >> 20)) MiB free, $((need >> 20)) MiB needed" >&2
	exit 1
}

command -v tar >/dev/null 2>&1 || {
	echo "tar is not installed" >&2
	exit 1
}
mkdir -p "$dir"
check_space "$need"
part=
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
part=$(mktemp -d "$dir/.slipway-XXXXXXXX")
tar -C "$part" --no-same-owner --preserve-permissions -xf - || {
	check_space 65536
	exit 1
}

# BLAKE2b takes a third of the time of SHA-256 where the processor has no
# instructions for the latter.
cd "$part"
if command -v b2sum >/dev/null 2>&1; then
	b2sum --check --strict --quiet .b2sum >&2 || exit 65
else
	sha256sum --check --strict --quiet .sha256sum >&2 || exit 65
fi

for file in "$part"/*; do
	mv -f "$file" "$dir/"
done
# Sync in the background: the next run notices a file that a power cut damages.
sync -f "$dir" </dev/null >/dev/null 2>&1 &

# shellcheck shell=sh
# Receives files as a tar archive on its standard input, verifies them and puts
# them in place, all or none. It is given to `sh -c`. The last two files of the
# archive are the sums of the others, as b2sum and sha256sum check them.
# Arguments: folder, and the size of the files in bytes.
# Exit code 65: a file is not what was sent.
set -eu
folder=$1 need=$2

# Of a full disk, tar's last line says nothing.
check_space() {
	blocks=$(stat -f -c %f "$folder") && size=$(stat -f -c %S "$folder") || return 0
	free=$((blocks * size))
	[ "$free" -lt "$1" ] || return 0
	echo "no space left on device in $folder: $((free >> 20)) MiB free, $((need >> 20)) MiB needed" >&2
	exit 1
}

mkdir -p "$folder"
check_space "$need"
part=
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
part=$(mktemp -d "$folder/.slipway-XXXXXXXX")
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
	mv -f "$file" "$folder/"
done
# To the disk in the background: what a power cut takes, the next run finds.
sync -f "$folder" </dev/null >/dev/null 2>&1 &

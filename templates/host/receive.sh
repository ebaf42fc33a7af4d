# shellcheck shell=sh
# Receives files as a tar archive on standard input, verifies them and moves all of
# them to a directory, or none. Runs with `sh -c`. The last two files of the archive
# are the checksums of the others, for b2sum --check and sha256sum --check.
# Arguments: directory, total size of the files in bytes.
# Exit code 65: a file differs from its checksum.
set -eu
dir=$1 need=$2

# On a full disk, the last line of tar's errors does not name the reason.
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

# Remove what killed uploads left behind. The name contains the process ID, so that
# running uploads to the same directory are not affected.
for part in "$dir"/.slipway-[0-9]*.*; do
	pid=${part#"$dir/.slipway-"}
	kill -0 "${pid%%.*}" 2>/dev/null || rm -rf "$part"
done

check_space "$need"
part=
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
part=$(mktemp -d "$dir/.slipway-$$.XXXXXXXX")
tar -C "$part" --no-same-owner --preserve-permissions -xf - || {
	check_space 65536
	exit 1
}

# On processors without SHA instructions, BLAKE2b takes a third of the time of
# SHA-256.
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

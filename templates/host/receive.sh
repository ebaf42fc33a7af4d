# shellcheck shell=sh
# Receives files as a tar archive on its standard input, verifies them and puts
# them in place, all or none. It is given to `sh -c`. The last two files of the
# archive are the sums of the others, for b2sum and sha256sum --check.
# Argument: directory.
# Exit code 65: a file differs from what was sent.
set -eu
dir=$1
mkdir -p "$dir"
part=$(mktemp -d "$dir/.slipway-XXXXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
if ! said=$(tar -C "$part" --no-same-owner --preserve-permissions -xf - 2>&1); then
	# The first line is the cause, such as a full disk.
	printf '%s\n' "$said" | head -n 1 >&2
	exit 1
fi

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

# shellcheck shell=sh
# Starts the first SFTP server program among the arguments, with rights as root.
# Umask 077: a file is private until its mode is set. Exit code 127: none found.
set -eu
for server in "$@"; do
	if [ -x "$server" ]; then
		exec "$server" -u 077
	fi
done
echo "no SFTP server program among: $*" >&2
exit 127

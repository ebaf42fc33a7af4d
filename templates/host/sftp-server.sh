# shellcheck shell=sh
# Runs the first SFTP server program among the arguments that exists, as root.
# With umask 077, a file is private until its mode is set.
# Exit code 127: none of them exists.
set -eu
for server in "$@"; do
	if [ -x "$server" ]; then
		exec "$server" -u 077
	fi
done
echo "no SFTP server program found: $*" >&2
exit 127

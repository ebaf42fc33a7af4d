#!/bin/sh
# Runs a command with the variables NAME=VALUE from standard input in its environment:
# other users can read the arguments of commands.
# Arguments: command...
set -eu
while IFS= read -r variable; do
	export "${variable?}"
done
exec "$@" </dev/null

#!/bin/sh
# Prints "ok" if the service is enabled, active, and started after the last change
# of the files; otherwise the reason.
# Arguments: service, file...
set -eu
service=$1
shift
enabled=$(systemctl is-enabled "$service" 2>/dev/null) || true
[ "$enabled" = enabled ] || { echo "$service is not enabled"; exit 0; }
active=$(systemctl is-active "$service" 2>/dev/null) || true
[ "$active" = active ] || { echo "$service is $active"; exit 0; }
started=$(systemctl show --timestamp=unix -p ExecMainStartTimestamp --value "$service")
started=${started#@}
for file in "$@"; do
	[ -e "$file" ] || { echo "$file is missing"; exit 0; }
	if [ "$(stat -c %Y "$file")" -gt "$started" ]; then
		echo "$file is newer than the running $service"
		exit 0
	fi
done
echo ok

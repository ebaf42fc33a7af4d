#!/bin/sh
# Adds paths to the journal before they are written, and copies the files that
# exist, so that reset restores them. Skips what the journal contains. On a host with
# SELinux, prints the paths whose context must be set after they are written, with the
# parents that will be created.
# Arguments: journal directory, phase, then for each path: kind ("file" or
# "dir"), path, SHA-256 of the content to write ("" for a directory).
set -eu
journal=$1 phase=$2
shift 2

(umask 077 && mkdir -p "$journal")
entries=$journal/entries.jsonl
exec 9>>"$entries"
flock 9
if [ ! -s "$entries" ]; then
	# Kubernetes changes kernel settings that reset restores.
	sysctl -a --pattern '^(kernel|vm|net.ipv4.conf.all|net.netfilter)[.]' >"$journal/sysctls" 2>/dev/null || true
	# Packages of Debian enable and start their services before slipway does.
	for packaged in keepalived.service haproxy.service; do
		! systemctl is-enabled --quiet "$packaged" 2>/dev/null || echo "enabled $packaged"
		! systemctl is-active --quiet "$packaged" 2>/dev/null || echo "active $packaged"
	done >"$journal/services"
	sync "$journal/sysctls" "$journal/services" "$journal"
fi
# Start a new line after one that a full disk or a power loss truncated, or that ends
# in zeros. A truncated line does not end in "}" and is ignored.
[ ! -s "$entries" ] || [ "$(tail -c 1 "$entries" | wc -l)" -eq 1 ] || echo >&9
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)

recorded() { grep -asF -- "$1" "$entries" | grep -aq '}$'; }

exists() { [ -e "$path" ] || [ -L "$path" ]; }

# Copies a file that exists before the first change.
copy() {
	recorded "\"kind\":\"file\",\"path\":\"$path\"" && return
	exists || return 0
	(umask 077 && mkdir -p "$journal/before$(dirname "$path")")
	cp -a --no-dereference "$path" "$journal/before$path.part"
	mv -T "$journal/before$path.part" "$journal/before$path"
	copied=yes
}

# Records the state of a path before the first change.
before() {
	existed=false
	if exists; then existed=true; fi

	# The topmost missing parent: reset removes it if it is empty.
	made=
	at=$(dirname "$path")
	while [ ! -e "$at" ]; do
		made=$at
		at=$(dirname "$at")
	done

	printf '{"time":"%s","phase":"%s","kind":"%s","path":"%s","existed":%s,"made":"%s"}\n' \
		"$now" "$phase" "$kind" "$path" "$existed" "$made" >&9
}

# The copies are on disk before an entry says that they exist.
copied=
count=$#
while [ "$count" -gt 0 ]; do
	kind=$1 path=$2
	[ "$kind" != file ] || copy
	set -- "$@" "$1" "$2" "$3"
	shift 3
	count=$((count - 3))
done
[ -z "$copied" ] || sync -f "$journal"

selinux=
if selinuxenabled 2>/dev/null && command -v restorecon >/dev/null; then selinux=yes; fi

# Prints a path, and its missing parents before it.
label() (
	[ -e "${1%/*}" ] || [ -z "${1%/*}" ] || label "${1%/*}"
	printf '%s\n' "$1"
)

while [ $# -gt 0 ]; do
	kind=$1 path=$2 sum=$3
	shift 3
	[ -z "$selinux" ] || label "$path"
	recorded "\"kind\":\"$kind\",\"path\":\"$path\"" || before
	[ -z "$sum" ] || recorded "\"kind\":\"content\",\"path\":\"$path\",\"sum\":\"$sum\"" ||
		printf '{"time":"%s","phase":"%s","kind":"content","path":"%s","sum":"%s"}\n' "$now" "$phase" "$path" "$sum" >&9
done
sync "$entries"

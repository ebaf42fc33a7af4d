#!/bin/sh
# Prints why the host cannot install packages. Prints nothing if a package repository of
# the host answers. Installs nothing.
# Arguments: package...
set -eu

debian() {
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	# The indexes that apt-get update would read.
	indexes=$(apt-get --print-uris update 2>/dev/null | sed -n "s/^'\([^']*Release\)'.*/\1/p")
	[ -n "$indexes" ] || {
		echo "apt has no package repository"
		return
	}
	for index in $indexes; do
		# A repository that is trusted without a signature may have no InRelease, and a
		# flat one no Release.
		for file in "$index" "${index%InRelease}Release" "${index%InRelease}Packages"; do
			if timeout 8 /usr/lib/apt/apt-helper -o Acquire::Retries=0 -o Acquire::http::Timeout=4 -o Acquire::https::Timeout=4 \
				download-file "$file" "$dir/index" >/dev/null 2>&1; then
				return
			fi
		done
		last=$index
	done
	echo "no package repository answers, such as $last"
}

redhat() {
	# A package may be named with its version, release and architecture.
	found=$(timeout 30 dnf -q --setopt=timeout=5 --setopt=retries=1 repoquery \
		--qf '%{name}\n%{name}-%{version}-%{release}.%{arch}\n' "$@" 2>/dev/null) || {
		echo "no package repository answers"
		return
	}
	for package; do
		echo "$found" | grep -qxF "$package" || echo "no package repository has $package"
	done
}

if command -v apt-get >/dev/null 2>&1; then debian; else redhat "$@"; fi

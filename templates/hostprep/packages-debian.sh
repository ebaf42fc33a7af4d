#!/bin/sh
# Installs Debian packages, after package-locks.sh. Updates the package lists only if the
# installation fails with the current ones.
# Arguments: package...
set -eu
export DEBIAN_FRONTEND=noninteractive
# needrestart would search all processes, and may restart services that slipway does not
# know.
export NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l

holder() {
	file_holder /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock
}

# Runs apt-get when all locks are free, and again if another program took one first.
# apt waits only for the locks of dpkg, not for those of its lists and its cache.
apt() {
	wait_for_locks
	until apt-get -q -y -o DPkg::Lock::Timeout=60 "$@"; do
		[ -n "$(holder)" ] || return 1
		wait_for_locks
	done
}

# Finish interrupted installations, without which apt-get refuses to run. Ignore
# errors: a broken package need not affect this installation.
wait_for_locks
dpkg --configure -a || :
apt --no-install-recommends install "$@" || {
	apt update
	apt --no-install-recommends install "$@"
}

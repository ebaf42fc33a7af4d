#!/bin/sh
# Compares a running service with its files, or starts it with them.
# Arguments: state|start|reload, directory of records, service, file...
#   state  prints one line for each difference: "disabled", "stopped STATE" or
#          "changed FILE". Prints nothing if the service is enabled and runs with
#          its current files.
#   start  enables and restarts the service, and records the checksums of its
#          files. Prints the end of its log if it does not start.
#   reload the same, but the running service reads its files again.
# The unit, drop-ins and environment files of the service are its files too. Without
# file arguments, only the state of the service counts.
set -eu
verb=$1 records=$2 service=$3
shift 3

load() {
	properties=$(systemctl show "$service" --property=ActiveState,MainPID,InvocationID \
		--property=ExecStart,FragmentPath,DropInPaths,EnvironmentFiles)
	program=$(value ExecStart | sed -n 's/^{ path=\([^;]*\) ;.*/\1/p' | head -n 1)
	# Each start of a service has an InvocationID of its own.
	record=$records/$service/$(value InvocationID)
	process=/proc/$(value MainPID)
}

value() { printf '%s\n' "$properties" | sed -n "s/^$1=//p"; }

# Prints the files that the service reads, except its program. systemd knows new
# drop-ins only after a reload. Of drop-ins with the same name, it reads the first.
files() {
	{
		printf '%s\n' "$@"
		value FragmentPath
		value DropInPaths | tr ' ' '\n'
		for dir in $(systemctl show --property=UnitPath --value); do
			existing "$dir/$service.d"/*.conf
		done | awk -F / '!seen[$NF]++'
		value EnvironmentFiles | while read -r file _; do existing "$file"; done
	} | sort -u | grep -vxF -e "$program" -e ""
}

existing() {
	for file; do
		if [ -e "$file" ]; then
			echo "$file"
		fi
	done
}

sums() { files "$@" | tr '\n' '\0' | xargs -0 sha256sum 2>/dev/null || true; }

inode() { stat -L -c %d:%i "$1" 2>/dev/null || true; }

# Prints the files that changed after the service started, for a service that
# something else started, such as kubeadm or the boot. Programs cannot set the change
# time of a file. The start is the current time minus the age of the process,
# because the clock may have been set since then.
newer() {
	ticks=$(sed 's/.*) //' "$process/stat" | cut -d ' ' -f 20)
	now=$(date +%s%N)
	read -r uptime _ </proc/uptime
	# ticks, uptime and started are in 1/100 s.
	started=$((now / 10000000 - (${uptime%.*}${uptime#*.} - ticks)))
	files "$@" | while read -r file; do
		case $file in
		/run/*) continue ;; # generators write these files at each reload
		esac
		if changed=$(stat -L -c %.2Z "$file" 2>/dev/null) && [ "${changed%.*}${changed#*.}" -le "$started" ]; then
			continue
		fi
		echo "$file"
	done
}

changed() {
	for file; do
		# A process keeps the inode of its program, and an upload creates another one.
		if [ "$file" = "$program" ] && [ "$(inode "$file")" != "$(inode "$process/exe")" ]; then
			echo "$file"
		fi
	done
	if [ -f "$record" ]; then
		sums "$@" | sort - "$record" | uniq -u | sed 's/^[^ ]*  //'
	else
		newer "$@"
	fi
}

state() {
	enabled=$(systemctl is-enabled "$service" 2>/dev/null) || true
	[ "$enabled" = enabled ] || echo disabled
	load
	active=$(value ActiveState)
	if [ "$active" != active ]; then
		echo "stopped $active"
	elif [ $# -eq 0 ]; then
		return
	elif ! [ -e "$process/stat" ]; then
		echo "stopped exited"
	else
		changed "$@" | sort -u | sed 's/^/changed /'
	fi
}

start() { run restart "$@"; }

reload() { run reload "$@"; }

run() {
	how=$1
	shift
	systemctl daemon-reload
	systemctl enable --quiet "$service"
	load
	# A file that changes from now on differs from its checksum.
	before=$(sums "$@")
	if ! systemctl "$how" "$service"; then
		journalctl --no-pager --lines 20 --unit "$service" >&2
		exit 1
	fi
	[ $# -gt 0 ] || exit 0
	load
	rm -rf "${record%/*}"
	(umask 077 && mkdir -p "${record%/*}")
	printf '%s\n' "$before" >"$record"
}

"$verb" "$@"

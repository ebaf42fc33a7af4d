#!/bin/sh
# Opens firewalld for a cluster by firewall-cmd: at run time and permanently, so that
# nothing has to be reloaded. Prints each change.
# Arguments: mode, state file, interface and address of the host in the cluster, rules.
# Modes: check changes nothing; apply adds rules that are missing and removes those of
# the state file that are no longer wanted; remove removes all of the state file.
# Rules: "pods CIDR" or "services CIDR", which are trusted; "SOURCE PROTOCOL PORTS",
# where SOURCE is an address or any, and PORTS such as 80,443,30000:32767, or - .
# The state file lists the rules that slipway added: of what was there before, nothing is
# removed. A line has "runtime" or "permanent", the zone, "source" or "rule", and the text.
set -eu
mode=$1 state=$2 interface=${3-}
[ "$mode" = remove ] || shift 4
export LC_ALL=C
tab=$(printf '\t')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

running() { firewall-cmd --state </dev/null >/dev/null 2>&1; }

# list: the sources, rules and interfaces of all zones, from --list-all-zones.
list() {
	awk -v where="$1" '
		/^[^ \t]/ { zone = $1 }
		/^  (sources|interfaces): / { kind = $1 == "sources:" ? "source" : "interface"
			for (i = 2; i <= NF; i++) print where "\t" zone "\t" kind "\t" $i }
		/^\trule / { sub(/^\t/, ""); print where "\t" zone "\trule\t" $0 }'
}

# without A B: the lines of A that are not in B, each once.
without() { awk 'FILENAME == ARGV[1] { in_b[$0]; next } !($0 in in_b) && !seen[$0]++' "$2" "$1"; }

# wanted ZONE RULES: the lines of the state file that the rules stand for.
wanted() {
	own=$1
	shift
	for rule in "$@"; do printf '%s\n' "$rule"; done | awk -v own="$own" '
		function line(zone, kind, text) {
			print "runtime\t" zone "\t" kind "\t" text
			print "permanent\t" zone "\t" kind "\t" text
		}
		$1 == "pods" || $1 == "services" { line("trusted", "source", $2); next }
		{
			# As firewall-cmd lists it.
			start = "rule family=\"ipv4\" " ($1 == "any" ? "" : "source address=\"" $1 "\" ")
			if ($3 == "-") { line(own, "rule", start "protocol value=\"" $2 "\" accept"); next }
			n = split($3, ports, ",")
			for (i = 1; i <= n; i++) {
				sub(/:/, "-", ports[i])
				line(own, "rule", start "port port=\"" ports[i] "\" protocol=\"" $2 "\" accept")
			}
		}'
}

# firewall WHERE ARGUMENTS: runs the command for a part of the configuration.
firewall() {
	where=$1
	shift
	if [ "$where" = runtime ]; then
		firewall-cmd "$@" </dev/null >/dev/null
	elif running; then
		firewall-cmd --permanent "$@" </dev/null >/dev/null
	else
		firewall-offline-cmd "$@" </dev/null >/dev/null
	fi
}

# change OPERATION WHERE ZONE KIND FILE: adds or removes the lines of a file that are of
# a kind, with one command. It succeeds if they are there, or gone, already.
change() {
	grep -F "$2$tab$3$tab$4$tab" "$5" | cut -f4 >"$work/texts"
	case $4 in rule) option=--$1-rich-rule ;; *) option=--$1-$4 ;; esac
	set -- "$2" --zone="$3"
	while IFS= read -r text; do set -- "$@" "$option=$text"; done <"$work/texts"
	firewall "$@"
}

# each OPERATION FILE: changes the lines of a file. What cannot be removed is said.
each() {
	cut -f1-3 "$2" | sort -u >"$work/groups"
	while IFS=$tab read -r where zone kind; do
		if [ "$1" = add ]; then
			change add "$where" "$zone" "$kind" "$2"
		else
			change remove "$where" "$zone" "$kind" "$2" || echo "could not close all of zone $zone ($where)"
		fi
	done <"$work/groups"
}

# say WORD FILE: prints the changes for people, each once.
say() {
	awk -F '\t' -v word="$1" '{ text = $2 " " $3 " " $4 } !seen[text]++ { print word " zone " $2 ": " $4 }' "$2"
}

# keep FILE: writes a file from standard input.
keep() {
	mkdir -p "${state%/*}"
	cat >"$1.new"
	sync "$1.new"
	mv "$1.new" "$1"
	sync "${state%/*}"
}

# zones_of_all: the zones that had no file of their own before slipway changed them.
zones_of_all() {
	cat "$state.zones" 2>/dev/null || :
	cut -f2 "$work/add" | sort -u | while IFS= read -r zone; do
		[ -e "/etc/firewalld/zones/$zone.xml" ] || echo "$zone"
	done
}

# defaults: deletes the files that only repeat the defaults of these zones.
defaults() {
	[ -e "$state.zones" ] && running || return 0
	sort -u "$state.zones" | while IFS= read -r zone; do
		if cmp -s "/etc/firewalld/zones/$zone.xml" "/usr/lib/firewalld/zones/$zone.xml"; then
			firewall permanent --load-zone-defaults="$zone" || :
		fi
	done
}

if [ -e "$state" ]; then cp "$state" "$work/state"; else : >"$work/state"; fi

if [ "$mode" = remove ]; then
	if ! command -v firewall-cmd >/dev/null; then
		echo "firewalld is not installed any more: nothing to close"
	else
		say close "$work/state"
		running || { grep -v "^runtime$tab" "$work/state" || :; } >"$work/permanent"
		running || mv "$work/permanent" "$work/state"
		each remove "$work/state"
		defaults
	fi
	rm -f "$state" "$state.zones"
	rmdir "${state%/*}" 2>/dev/null || :
	exit 0
fi

firewall-cmd --list-all-zones </dev/null >"$work/runtime" &
pid=$!
firewall-cmd --permanent --list-all-zones </dev/null >"$work/permanent"
wait "$pid"
{ list runtime <"$work/runtime" && list permanent <"$work/permanent"; } >"$work/have"
zone=$(awk -F '\t' -v interface="$interface" '$1 == "runtime" && $3 == "interface" && $4 == interface { print $2; exit }' "$work/have")
[ -n "$zone" ] || zone=$(sed -n "s/^DefaultZone=//p" /etc/firewalld/firewalld.conf 2>/dev/null || :)
[ -n "$zone" ] || zone=$(firewall-cmd --get-default-zone </dev/null)

wanted "$zone" "$@" >"$work/wanted"
without "$work/wanted" "$work/have" >"$work/add"
without "$work/state" "$work/wanted" >"$work/remove"
say open "$work/add"
say close "$work/remove"
[ "$mode" = apply ] || exit 0

# First written, then added: what a killed run added is known.
cat "$work/state" "$work/add" >"$work/all"
if [ -s "$work/add" ] || [ -s "$work/remove" ]; then
	zones_of_all >"$work/zones"
	keep "$state.zones" <"$work/zones"
	keep "$state" <"$work/all"
fi
each add "$work/add"
each remove "$work/remove"
[ ! -s "$work/remove" ] || without "$work/all" "$work/remove" | keep "$state"

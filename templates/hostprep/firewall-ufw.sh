#!/bin/sh
# Opens ufw for a cluster, with rules whose comment is "slipway". Prints each change.
# Arguments: mode, state file (ufw needs none), interface and address of the host in the
# cluster, rules.
# Modes: check changes nothing; apply adds rules that are missing and deletes those of
# slipway that are no longer wanted; remove deletes all of slipway. Rules of others stay,
# also if they are the same.
# Rules: "pods CIDR" or "services CIDR", which are trusted; "SOURCE PROTOCOL PORTS",
# where SOURCE is an address or any, and PORTS such as 80,443,30000:32767, or - .
set -eu
set -f
mode=$1 own=${4-}
[ "$mode" = remove ] || shift 4
export LC_ALL=C
comment=" comment 'slipway'"

if ! command -v ufw >/dev/null; then
	echo "ufw is not installed any more: nothing to close"
	exit 0
fi

# supported PROTOCOL: earlier versions of ufw know less of them.
supported() { ufw --dry-run allow from 127.0.0.1 proto "$1" </dev/null >/dev/null 2>&1; }

# wanted RULES: the rules as "ufw show added" lists them.
wanted() {
	for rule in "$@"; do
		# shellcheck disable=SC2086
		set -- $rule
		case $1-$2-${3-} in
		pods-*) printf '%s\n' "allow from $2" "route allow from $2" "route allow to $2" ;;
		services-*) echo "allow from $2" ;;
		any-*) echo "allow $3/$2" ;;
		*-tcp-* | *-udp-*) echo "allow from $1 to any port $3 proto $2" ;;
		*) if supported "$2"; then echo "allow from $1 proto $2"; else echo "allow from $1 to $own"; fi ;;
		esac
	done
}

added=$(ufw show added </dev/null)
added=$(printf '%s\n' "$added" | sed -n 's/^ufw //p')
present=$(printf '%s\n' "$added" | sed "s/ comment '.*//")
ours=$(printf '%s\n' "$added" | sed -n "s/$comment\$//p")

# without A B: the lines of A that are not in B.
without() {
	printf "%s\n" "$1" | B=$2 awk '
		BEGIN { n = split(ENVIRON["B"], lines, "\n"); for (i = 1; i <= n; i++) in_b[lines[i]] }
		$0 != "" && !($0 in in_b) && !seen[$0]++'
}

delete() {
	case $1 in
	'route '*) set -- "route delete ${1#route }" ;;
	*) set -- "delete $1" ;;
	esac
	# shellcheck disable=SC2086
	ufw $1 </dev/null >/dev/null
}

want=
[ "$mode" = remove ] || want=$(wanted "$@")
add=$(without "$want" "$present")
remove=$(without "$ours" "$want")
[ -z "$add" ] || printf '%s\n' "$add" | sed 's/^/open /'
[ -z "$remove" ] || printf '%s\n' "$remove" | sed 's/^/close /'
[ "$mode" != check ] || exit 0

[ -z "$add" ] || printf '%s\n' "$add" | while IFS= read -r rule; do
	# shellcheck disable=SC2086
	ufw $rule comment slipway </dev/null >/dev/null
done
[ -z "$remove" ] || printf '%s\n' "$remove" | while IFS= read -r rule; do delete "$rule"; done

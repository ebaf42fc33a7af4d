#!/bin/sh
# Prints the state of a machine that is not in its files, one part a line, without what
# changes by itself: counters, times, sessions.
set -eu

# Tables without rules and chains that accept everything have no effect. iptables
# creates them when it needs their table.
rules() {
	awk '
	/^\*/ { table = $0; lines = ""; filled = 0; next }
	/^:/ { sub(/ \[.*/, ""); if ($2 != "ACCEPT") { filled = 1; lines = lines prefix table " " $0 "\n" }; next }
	/^-/ { filled = 1; lines = lines prefix table " " $0 "\n"; next }
	/^COMMIT/ { if (filled) printf "%s", lines }' prefix="$1 "
}
iptables-save | rules iptables
ip6tables-save | rules ip6tables

# The tables of iptables are listed above.
nft --stateless list ruleset 2>/dev/null | awk '
	/^table (ip|ip6) (filter|nat|mangle|raw|security) / { skip = 1 }
	!skip && !/^#/ { print "nft " $0 }
	/^}/ { skip = 0 }'

ip -o link show | sed -E 's/^[0-9]+: ([^:@]+).* state ([A-Z]+).*/link \1 \2/'
ip -o address show scope global | awk '{ print "address", $2, $3, $4 }'
ip -4 route show table all | sed 's/^/route /'
ip -6 route show table all | sed -E '/ dev lo | multicast |^(local|anycast) /d; s/ expires [0-9]+sec//; s/^/route6 /'
ip -4 rule show | sed 's/^/rule /'
ip -6 rule show | sed 's/^/rule6 /'
ip netns list | sed -E 's/ \(id.*//; s/^/netns /'

systemctl list-unit-files --plain --no-legend --no-pager | awk '{ print "unit file", $1, $2 }'
systemctl list-units --type=service,socket,timer,mount,slice --state=active,failed --plain --no-legend --no-pager |
	awk '$1 !~ /^(user|run-user|ssh@|sshd@|systemd-tmpfiles-clean|run-rpc)/ { print "unit", $1, $3, $4 }'

awk '$5 !~ "^/run/user/" { split($0, half, " - "); split(half[2], fs, " "); print "mount", $5, fs[1] }' /proc/self/mountinfo

sysctl -a --pattern '^net[.]' 2>/dev/null | grep -vE 'nf_conntrack_count|[.]flush|route[.]flush|random|tcp_fastopen_key|[.]stable_secret' | sed 's/^/sysctl /'

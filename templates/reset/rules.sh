#!/bin/sh
# Deletes the packet filter rules and chains of the cluster, one at a time: those of
# kubelet, kube-proxy, Flannel, Calico and Cilium, and those that CNI plugins added
# for the cluster's pods. Rules of others stay.
# Argument: the list of the cluster's containers.
set -eu
ids=$(cut -d ' ' -f 1 "$1" 2>/dev/null | tr '\n' ' ')

# Prints the deletions for the output of iptables-save: each argument on a line
# after a "+", then a line with ".".
deletions() {
	awk -v ids="$ids" '
	# Splits a line of iptables-save into word[1..words]. Quoted words have escapes.
	function parse(text,   i, c, quoted, inside) {
		words = 0; quoted = inside = 0
		for (i = 1; i <= length(text); i++) {
			c = substr(text, i, 1)
			if (c == "\\" && quoted) c = substr(text, ++i, 1)
			else if (c == "\"") { quoted = !quoted; if (quoted && !inside) { word[++words] = ""; inside = 1 }; continue }
			else if (c == " " && !quoted) { inside = 0; continue }
			if (!inside) { word[++words] = ""; inside = 1 }
			word[words] = word[words] c
		}
	}
	function ours(chain) { return chain ~ /^(KUBE-|FLANNEL-|cali-|CILIUM_|OLD_CILIUM_)/ || (table, chain) in cluster }
	# Whether a comment of a CNI plugin names the pod network or a container of the
	# cluster.
	function pods(comment,   id) {
		if (comment !~ /^(dnat )?name: "[^"]*" id: "[^"]*"/) return 0
		id = comment; sub(/.* id: "/, "", id); sub(/".*/, "", id)
		return comment ~ /name: "(cbr0|k8s-pod-network)"/ || id in container
	}
	function add(argument) { printf "+%s\n", argument }
	function run(option, chain) { add("-t"); add(table); add(option); add(chain); print "." }

	BEGIN {
		n = split(ids, list, " ")
		for (i = 1; i <= n; i++) container[list[i]]
		split("CNI-HOSTPORT-DNAT CNI-HOSTPORT-SETMARK CNI-HOSTPORT-MASQ", portmap, " ")
	}
	/^\*/ { table = substr($0, 2); chains = rules = 0; next }
	/^:/ { chain[++chains] = substr($1, 2); next }
	/^-A / {
		rule[++rules] = $0; at[rules] = $2; target[rules] = ""; own[rules] = 0
		parse($0)
		for (i = 3; i < words; i++) {
			if (word[i] == "-j" || word[i] == "-g") target[rules] = word[i + 1]
			if (word[i] != "--comment") continue
			if (word[i + 1] ~ /^flanneld (masq|forward)$/) own[rules] = 1
			# The hash that Calico gives each of its rules.
			if (word[i + 1] ~ /^cali:[A-Za-z0-9_-]+$/ && length(word[i + 1]) == 21) own[rules] = 1
			if (pods(word[i + 1])) { own[rules] = 1; podRule[rules] }
		}
		next
	}
	$1 == "COMMIT" {
		for (r in podRule) if (target[r] ~ /^CNI-/) cluster[table, target[r]]
		# The plugin portmap shares these chains between all networks.
		shared = 0
		for (r = 1; r <= rules; r++) if (at[r] == "CNI-HOSTPORT-DNAT" && !own[r]) shared = 1
		if (!shared) for (i in portmap) cluster[table, portmap[i]]

		for (r = 1; r <= rules; r++) {
			if (ours(at[r]) || !(own[r] || ours(target[r]))) continue
			parse(rule[r])
			add("-t"); add(table); add("-D")
			for (i = 2; i <= words; i++) add(word[i])
			print "."
		}
		for (i = 1; i <= chains; i++) if (ours(chain[i])) run("-F", chain[i])
		for (i = 1; i <= chains; i++) if (ours(chain[i])) run("-X", chain[i])
		split("", podRule)
	}'
}

for command in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy iptables ip6tables; do
	command -v "$command-save" >/dev/null 2>&1 || continue
	"$command-save" 2>/dev/null | deletions | {
		set --
		while IFS= read -r line; do
			if [ "$line" != . ]; then
				set -- "$@" "${line#+}"
				continue
			fi
			"$command" -w "$@" </dev/null || echo "could not run $command $*"
			set --
		done
	}
done

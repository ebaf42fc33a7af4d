#!/bin/sh
# Prints the facts of this host, one "key<TAB>value" a line. Changes nothing. A key
# may have several lines. A fact that cannot be read has none.
# Arguments: sysctls to print, "--", paths to test, "--", paths to print the free
# space of.
set -u

fact() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"; }
file() { [ -r "$2" ] && { IFS= read -r line <"$2" || :; fact "$1" "$line"; }; }

# resetting: commands of a reset run. They lock the directory of the journal.
journal=/var/lib/slipway/journal/entries.jsonl
resetting() {
	if { [ -e "$journal" ] && ! flock -n "${journal%/*}" true; } || systemctl is-active --quiet slipway-kubeadm-reset.service; then
		fact resetting yes
	fi
}
# One that ends while this script runs may have deleted what is read first, and not yet
# what is read last. At the end, resetting tells one that begins meanwhile.
resetting

fact time "$(date +%s.%N)"
fact hostname "$(uname -n)"
fact arch "$(uname -m)"
fact kernel "$(uname -r)"
fact cpus "$(getconf _NPROCESSORS_ONLN)"
fact memoryKiB "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
fact cgroup "$(stat -fc %T /sys/fs/cgroup)"
if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
	file controllers /sys/fs/cgroup/cgroup.controllers
else
	fact controllers "$(awk '$1 !~ /^#/ && $4 == 1 { printf "%s ", $1 }' /proc/cgroups 2>/dev/null)"
fi
file selinux /sys/fs/selinux/enforce
boolean=haproxy_connect_any
file "selinuxBoolean	$boolean" "/sys/fs/selinux/booleans/$boolean"
file init /proc/1/comm
file machineID /etc/machine-id
file productUUID /sys/class/dmi/id/product_uuid

# shellcheck disable=SC1091
(. /etc/os-release && fact osID "$ID" && fact osLike "${ID_LIKE-}" &&
	fact osVersion "${VERSION_ID-}" && fact osName "$PRETTY_NAME")

ip -o addr show scope global | awk '{ print "address\t" $2 " " $4 ($0 ~ / dynamic/ ? " dynamic" : "") }'
ip -4 route show table main | sed 's/^/route\t/'
ip -o link show | awk '{ sub(/[:@].*/, "", $2)
	for (i = 3; i < NF; i++) {
		if ($i == "mtu") print "mtu\t" $2 " " $(i+1)
		if ($i == "link/ether") print "mac\t" $2 " " $(i+1)
	} }'
for bridge in /sys/class/net/*/bridge; do
	[ -e "$bridge" ] && bridge=${bridge%/bridge} && fact bridge "${bridge##*/}"
done
awk '$1 == "nameserver" { print "resolver\t" $2 }' /etc/resolv.conf 2>/dev/null

awk 'NR > 1 { print "swapActive\t" $1 }' /proc/swaps
awk '$1 !~ /^#/ && $3 == "swap" { print "swapFstab\t" $1 }' /etc/fstab 2>/dev/null
systemctl list-units --all --plain --no-legend --type=swap 2>/dev/null |
	awk '$2 == "loaded" { print "swapUnit\t" $1 }'
# zram-generator uses only the first configuration file.
for conf in /etc/systemd/zram-generator.conf /usr/lib/systemd/zram-generator.conf; do
	[ -e "$conf" ] || continue
	grep -qs '^\[zram' "$conf" && fact zram "$conf"
	break
done

# The modules that checks need, and the options of the kernel that build them in.
modules="overlay=OVERLAY_FS br_netfilter=BRIDGE_NETFILTER nf_conntrack=NF_CONNTRACK vxlan=VXLAN iscsi_tcp=ISCSI_TCP \
nft_compat=NFT_COMPAT ip_tables=IP_NF_IPTABLES xt_addrtype=NETFILTER_XT_MATCH_ADDRTYPE \
xt_comment=NETFILTER_XT_MATCH_COMMENT xt_conntrack=NETFILTER_XT_MATCH_CONNTRACK xt_mark=NETFILTER_XT_MARK \
xt_MASQUERADE=NETFILTER_XT_TARGET_MASQUERADE xt_multiport=NETFILTER_XT_MATCH_MULTIPORT xt_nat=NETFILTER_XT_NAT \
xt_statistic=NETFILTER_XT_MATCH_STATISTIC ip_set=IP_SET nf_tables=NF_TABLES nft_ct=NFT_CT nft_fib_ipv4=NFT_FIB_IPV4 \
nft_masq=NFT_MASQ nft_nat=NFT_NAT nft_numgen=NFT_NUMGEN nft_reject_ipv4=NFT_REJECT_IPV4 ip_vs=IP_VS \
ip_vs_rr=IP_VS_RR ip_vs_wrr=IP_VS_WRR ip_vs_lc=IP_VS_LC ip_vs_wlc=IP_VS_WLC ip_vs_lblc=IP_VS_LBLC ip_vs_lblcr=IP_VS_LBLCR \
ip_vs_dh=IP_VS_DH ip_vs_sh=IP_VS_SH ip_vs_sed=IP_VS_SED ip_vs_nq=IP_VS_NQ ip_vs_mh=IP_VS_MH ip_vs_fo=IP_VS_FO ip_vs_ovf=IP_VS_OVF"
# A module is loaded or built in, or can be loaded. A built-in module without
# parameters has no directory in /sys/module, only a line in modules.builtin.
installed=/lib/modules/$(uname -r)
for entry in $modules; do
	module=${entry%=*}
	if [ -d "/sys/module/$module" ] || grep -qs "/$module\.ko" "$installed/modules.builtin"; then
		fact module "$module"
	elif modprobe --dry-run --quiet "$module" 2>/dev/null; then
		fact loadable "$module"
	fi
done
# In a container, the configuration of the kernel shows what is built in.
configuration=$({ zcat /proc/config.gz || cat "/boot/config-$(uname -r)"; } 2>/dev/null)
printf '%s\n' "$configuration" | awk -F= -v modules="$modules" '
	BEGIN {
		n = split(modules, entries, " ")
		for (i = 1; i <= n; i++) { split(entries[i], pair, "="); module["CONFIG_" pair[2]] = pair[1] }
	}
	$2 == "y" && $1 in module { print "module\t" module[$1] }'
[ -n "$configuration" ] || [ -d "$installed" ] || fact modulesUnreadable yes
# These exist only if the module is loaded or built in.
[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] && fact module br_netfilter
[ -e /proc/sys/net/netfilter/nf_conntrack_max ] && fact module nf_conntrack
grep -qs '\boverlay$' /proc/filesystems && fact module overlay

while [ $# -gt 0 ] && [ "$1" != -- ]; do
	value=$(sysctl -n "$1" 2>/dev/null) && fact sysctl "$1 $value"
	shift
done
[ $# -gt 0 ] && shift

while [ $# -gt 0 ] && [ "$1" != -- ]; do
	[ -e "$1" ] && fact exists "$1"
	shift
done
[ $# -gt 0 ] && shift

# For each path, the file system that holds its nearest existing parent: sizes in
# KiB, inodes, mount options. df prints one line for each path, in order.
{
	for path in "$@"; do
		at=$path
		while [ ! -e "$at" ]; do at=${at%/*} at=${at:-/}; done
		[ -w "$at" ] && mode=rw || mode=ro
		printf 'path %s %s\n' "$path" "$mode"
		shift
		set -- "$@" "$at"
	done
	[ $# -eq 0 ] || df -k --output=size,avail,target,itotal,iavail "$@"
} | awk '
	FILENAME != "-" { options[$2] = $4; next }
	$1 == "path" { path[++paths] = $2; mode[paths] = $3; next }
	$1 ~ /^[0-9]+$/ { size[++lines] = $1 " " $2 " " $3 " " $4 " " $5; target[lines] = $3 }
	END { for (i = 1; i <= lines && lines == paths; i++) {
		how = options[target[i]]
		ro = mode[i] == "ro" || how ~ /(^|,)ro(,|$)/ ? " ro" : ""
		print "disk\t" path[i] " " size[i] ro (how ~ /(^|,)noexec(,|$)/ ? " noexec" : "")
	} }' - /proc/mounts

ss -Hltnp 2>/dev/null | awk '{ n = split($4, a, ":"); owner = $6; sub(/.*\(\("/, "", owner); sub(/".*/, "", owner); print "listen\t" a[n] " " owner }' | sort -u

for socket in /run/containerd/containerd.sock /run/crio/crio.sock /run/cri-dockerd.sock; do
	[ -S "$socket" ] && fact criSocket "$socket"
done
for config in /etc/cni/net.d/*.conf /etc/cni/net.d/*.conflist /etc/cni/net.d/*.json; do
	[ -e "$config" ] && fact cniConfig "${config##*/}"
done
for command in iptables nft conntrack modprobe mount systemd-run sha256sum tail tar iscsiadm mount.nfs haproxy keepalived restorecon setsebool; do
	command -v "$command" >/dev/null 2>&1 && fact command "$command"
done

# Without these programs, the facts are incomplete.
for command in ip ss modprobe systemctl; do
	command -v "$command" >/dev/null 2>&1 || fact missing "$command"
done

# The number of sessions that sshd allows on one connection.
fact maxSessions "$(sshd -T 2>/dev/null | awk '$1 == "maxsessions" { print $2 }')"

# The active units, of those that checks need.
units="iscsid.service iscsid.socket multipathd.service firewalld.service NetworkManager.service nm-cloud-setup.timer \
systemd-timesyncd.service chrony.service chronyd.service ntp.service ntpd.service ntpsec.service"
# shellcheck disable=SC2086
systemctl show --property=Id,ActiveState $units 2>/dev/null |
	awk -F= '$1 == "Id" { id = $2 } $1 == "ActiveState" { state = $2 } $0 == "" { if (state == "active") print "active\t" id } END { if (state == "active") print "active\t" id }'
grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf && fact firewall ufw
# Firewalls that drop input by default, through the policy of a chain or a rule
# without conditions. nftables also lists the chain of iptables: print it once.
{ iptables -S INPUT; nft list chains; } 2>/dev/null | awk '
	/^-P INPUT (DROP|REJECT)/ || /^-A INPUT -j (DROP|REJECT)/ { if (!closed++) print "firewall\tiptables" }
	$1 == "table" { table = $2 " " $3 }
	$1 == "chain" { chain = table " " $2 }
	/hook input/ && /policy drop/ && !(closed && chain == "ip filter INPUT") { print "firewall\tnftables " chain }'

# Entries of /etc/hosts with this host's name and a loopback address, as in Vagrant
# boxes.
awk -v name="$(uname -n)" '$1 ~ /^127\./ { for (i = 2; i <= NF; i++) if ($i == name) print "loopback\t" $1 " " $i }' /etc/hosts 2>/dev/null

# The proxy variables of services and logins.
{ systemctl show-environment; cat /etc/environment; } 2>/dev/null |
	awk 'tolower($0) ~ /^(export )?(http|https|no)_proxy=/ { sub(/^export /, ""); print "proxy\t" $0 }' | sort -u

# The processes that hold the lock of the package manager.
for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock; do
	[ -e "$lock" ] && awk -v inode="$(stat -c %i "$lock")" '{ n = split($6, a, ":"); if (a[n] == inode && $5 > 0) print $5 }' /proc/locks |
		while read -r pid; do fact packageLock "$(cat "/proc/$pid/comm") (pid $pid)"; done
done

# Packages with programs that slipway installs itself, and whether they are held.
# Also all packages whose installation dpkg has not finished.
names="kubelet kubeadm kubectl containerd containerd.io cri-o"
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' 2>/dev/null |
	awk -v names=" $names " '
		$1 ~ /^.[UFH]/ { print "unfinished\t" $2 }
		$1 ~ /^.i/ && index(names, " " $2 " ") { print "package\t" $2 " " $3 ($1 ~ /^h/ ? " held" : "") }'
if command -v rpm >/dev/null 2>&1; then
	# shellcheck disable=SC2086
	rpm -q --qf '%{NAME} %{VERSION}\n' $names 2>/dev/null | grep -v 'not installed' | while read -r name version; do
		held=
		grep -qs "$name" /etc/dnf/plugins/versionlock.list && held=held
		fact package "$name $version $held"
	done
fi

# Versions of installed programs, the effective configuration of containerd, and
# the certificates of kubeadm.
if command -v kubelet >/dev/null 2>&1; then fact kubelet "$(kubelet --version 2>/dev/null)"; fi
if command -v containerd >/dev/null 2>&1; then
	fact containerd "$(containerd --version 2>/dev/null)"
	awk '$1 == "version" && $2 == "=" { print "containerdFile\t" $3; exit }' /etc/containerd/config.toml 2>/dev/null
	containerd config dump 2>/dev/null | sed '/^[[:space:]]*$/d; s/^/containerdConfig\t/'
fi
for certificate in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt; do
	[ -e "$certificate" ] && fact certificate "$certificate $(base64 -w 0 "$certificate")"
done
# Those in kubeconfigs, and those with which kubelet serves. Keys stay on the host.
for conf in /etc/kubernetes/*.conf; do
	[ "$conf" = /etc/kubernetes/kubelet.conf ] || awk -v path="$conf" '
		$1 == "client-certificate-data:" { print "certificate\t" path " " $2; exit }' "$conf" 2>/dev/null
done
for certificate in /var/lib/kubelet/pki/kubelet.crt /var/lib/kubelet/pki/kubelet-server-current.pem; do
	[ -r "$certificate" ] && fact certificate "$certificate $(sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p' "$certificate" | base64 -w 0)"
done
# When the processes started that read their kubeconfig only then, and when it was
# written. The UIDs of static pods have no dashes: other pods may run the same programs.
pgrep -x 'kube-controller|kube-scheduler|kube-vip' 2>/dev/null | while read -r pid; do
	grep -Eqs 'pod[0-9a-f]{32}[./]' "/proc/$pid/cgroup" &&
		awk -v hz="$(getconf CLK_TCK)" '
			FILENAME == "/proc/stat" { if ($1 == "btime") boot = $2; next }
			{ gsub(/[()]/, "", $2); printf "started\t%s %d\n", $2, boot + $22 / hz }' /proc/stat "/proc/$pid/stat" 2>/dev/null
done
for conf in /etc/kubernetes/*.conf; do
	[ -e "$conf" ] && fact written "$conf $(stat -c %Y "$conf")"
done

# The cluster of this host: the certificate of kubelet, without the key that follows
# it in the same file, and the images of the control plane's pods.
conf=/etc/kubernetes/kubelet.conf
client=/var/lib/kubelet/pki/kubelet-client-current.pem
if [ -r "$client" ]; then
	fact kubeletCertificate "$(sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p' "$client" | base64 -w 0)"
else
	fact kubeletCertificate "$(awk '$1 == "client-certificate-data:" { print $2; exit }' "$conf" 2>/dev/null)"
fi
grep -qs kubelet-client-current "$conf" && fact kubeletFinalized yes
fact kubeletCgroupDriver "$(awk '$1 == "cgroupDriver:" { print $2; exit }' /var/lib/kubelet/config.yaml 2>/dev/null)"
for pod in etcd kube-apiserver kube-controller-manager kube-scheduler; do
	fact staticPod "$(awk -v pod="$pod" '$1 == "image:" { print pod " " $2; exit }' "/etc/kubernetes/manifests/$pod.yaml" 2>/dev/null)"
done

# The files that kubeadm and kubelet wrote, and whether each can be read. They do not
# sync what they write: a file may be empty or truncated after a power loss. Keys stay
# on the host.
set --
for file in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/*.key /etc/kubernetes/pki/*.pub \
	/etc/kubernetes/pki/etcd/*.crt /etc/kubernetes/pki/etcd/*.key /etc/kubernetes/*.conf \
	/etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/manifests/kube-*.yaml \
	/var/lib/kubelet/pki/*.crt /var/lib/kubelet/pki/*.key /var/lib/kubelet/pki/*.pem \
	/var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env; do
	if [ -f "$file" ] || [ -L "$file" ]; then set -- "$@" "$file"; fi
done
awk '
	# Whole PEM blocks, and nothing but text before them.
	function pem(line) {
		if (line ~ /^-----BEGIN [A-Z ]+-----$/ && !open) { open = line; size = 0 }
		else if (line ~ /^-----END [A-Z ]+-----$/ && open && size > 30) {
			sub(/BEGIN/, "END", open)
			if (line == open) { blocks++; kinds = kinds line } else bad = 1
			open = ""
		} else if (open && line ~ /^[A-Za-z0-9+\/]+=*$/) size += length(line)
		else if (open || line ~ /^-/) bad = 1
	}
	# The base64 of the end of a PEM block: "-----" and a newline, in three alignments.
	function encoded(value) { return length(value) > 200 && value ~ /^[A-Za-z0-9+\/]+(LS0tLS0K|LS0tLQo=|LS0tCg==)$/ }
	function kubeconfig(line,   word, words) {
		words = split(line, word, " ")
		if (line ~ /^(clusters|users|current-context|kind):/) fields[word[1]]
		if (word[1] == "server:" && word[2] ~ /^https:/) fields["server:"]
		if (word[1] ~ /-data:$/) { if (encoded(word[2])) fields[word[1]]; else bad = 1 }
		if (word[1] ~ /^(client-certificate|client-key):$/) {
			if (word[2] ~ /[.]pem$/ && (getline other <word[2]) > 0) fields[word[1] "-data"]; else bad = 1
			close(word[2])
		}
		if (word[1] == "token:" && word[2] ~ /^"?[a-z0-9]+[.][a-z0-9]+"?$/ && length(word[2]) >= 23) fields["token:"]
	}
	function readable(path,   whole) {
		if (lines == 0 || bad || open) return 0
		if (path ~ /[.]pem$/) return kinds ~ /END CERTIFICATE/ && kinds ~ /PRIVATE KEY/
		if (path ~ /[.]crt$/) return kinds ~ /END CERTIFICATE/
		if (path ~ /[.]key$/) return kinds ~ /PRIVATE KEY/
		if (path ~ /[.]pub$/) return kinds ~ /PUBLIC KEY/
		if (path ~ /[.]env$/) return last ~ /^KUBELET_KUBEADM_ARGS=.*"$/
		if (path ~ /manifests/) return "kind:" in fields && "spec:" in fields
		if (path !~ /[.]conf$/) return 1
		whole = "clusters:" in fields && "users:" in fields && "current-context:" in fields && "kind:" in fields && "server:" in fields
		return whole && ("token:" in fields || (("client-certificate-data:" in fields || "client-certificate:-data" in fields) &&
			("client-key-data:" in fields || "client-key:-data" in fields)))
	}
	BEGIN {
		for (i = 1; i < ARGC; i++) {
			path = ARGV[i]
			lines = bad = blocks = 0; open = kinds = last = ""; split("", fields)
			while ((getline line <path) > 0) {
				lines++; last = line
				if (path ~ /[.]conf$/) kubeconfig(line)
				else if (path ~ /[.](crt|key|pub|pem)$/) pem(line)
				else if (line ~ /^(kind|spec):/) fields[substr(line, 1, 5)]
			}
			close(path)
			print "kubeFile\t" path " " (readable(path) ? "ok" : "damaged")
		}
	}' "$@"

# The mirrors that slipway configured.
for file in /etc/containerd/certs.d/*/hosts.toml; do
	IFS= read -r line 2>/dev/null <"$file" || continue
	case $line in '# Written by slipway'*)
		dir=${file%/*}
		fact mirror "${dir##*/}"
		;;
	esac
done

# The temporary files of runs that were killed. They are beside the files in the
# journal, which has each path before it is written.
[ ! -e "$journal" ] || grep -a '"kind":"file"' "$journal" | sed -n 's/.*"path":"\([^"]*\)".*/\1/p' | sort -u | {
	last=
	while read -r path; do
		[ ! -e "$path.slipway-undo" ] || fact leftover "$path.slipway-undo"
		dir=${path%/*}
		[ "$dir" != "$last" ] || continue
		last=$dir
		for part in "$dir"/.slipway-*; do
			case $part in
			*/.slipway-probe-* | *'*') ;; # of a running probe; no file
			*) fact leftover "$part" ;;
			esac
		done
	done
}

# The files of a reset that was killed before it deleted anything.
for file in /run/slipway/reset*; do
	[ ! -e "$file" ] || [ -e "${journal%/*}/reset" ] || fact leftover "$file"
done

# Files of CNI plugins that a power loss has emptied, since the plugins do not sync
# them. The plugins fail on them when they delete a pod, and do without them. Other
# container engines have networks of other names.
boot=$(awk '$1 == "btime" { print $2 }' /proc/stat)
[ ! -e "$journal" ] || find /var/lib/cni -type f -size 0 ! -newermt "@$boot" \( -path '*/flannel/*' -o \
	-path '*/networks/cbr0/[0-9a-f]*' -o -path '*/networks/k8s-pod-network/[0-9a-f]*' -o -path '*/results/cbr0-*' -o \
	-path '*/results/k8s-pod-network-*' -o -path '*/results/cni-loopback-*' \) 2>/dev/null | while read -r path; do
	fact leftover "$path"
done

resetting
grep -Eqsr '^[[:space:]]*(devnode|protocol|property)' /etc/multipath.conf /etc/multipath/conf.d && fact multipathBlacklist yes
exit 0

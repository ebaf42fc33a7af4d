#!/bin/sh
# Changes a machine as an administrator would before an installation: packet filter
# rules, routes, links, a network namespace, mounts, units, sysctls, and lines in
# files that slipway edits.
set -eu
cat >/etc/systemd/system/admin-before.service <<-UNIT
	[Service]
	ExecStart=/bin/sleep infinity
	[Install]
	WantedBy=multi-user.target
UNIT
echo 'tmpfs /srv/admin tmpfs size=1m 0 0' >>/etc/fstab
printf '# of the administrator\n192.0.2.10 admin-before\n' >>/etc/hosts
mkdir /srv/admin
mount /srv/admin
systemctl daemon-reload
systemctl enable --quiet --now admin-before.service

echo 'net.ipv4.tcp_keepalive_time = 7000' >/etc/sysctl.d/50-admin.conf
sysctl -q -p /etc/sysctl.d/50-admin.conf

nft -f - <<-RULES
	table inet admin {
		chain input { type filter hook input priority 10; tcp dport 9 drop; }
	}
RULES
iptables -N ADMIN
iptables -A ADMIN -s 192.0.2.0/24 -j DROP
iptables -I FORWARD -j ADMIN
iptables -A INPUT -j ADMIN
iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -m comment --comment 'of the administrator' -j RETURN
ip6tables -A INPUT -s 2001:db8::/32 -j DROP

ip link add admin-br type bridge
ip link set admin-br up
ip address add 198.51.100.1/28 dev admin-br
ip route add blackhole 203.0.113.0/25
ip route add 203.0.113.128/26 via 198.51.100.2
ip route add blackhole default table 100
ip rule add from 192.0.2.10 lookup 100 priority 1000
ip netns add admin

#!/bin/sh
# Changes a machine as an administrator would between an installation and the reset:
# before and after the rules and lines of the cluster, and in its directories.
set -eu
cat >/etc/systemd/system/admin-between.service <<-UNIT
	[Service]
	ExecStart=/bin/sleep infinity
	[Install]
	WantedBy=multi-user.target
UNIT
# In /etc/hosts, the lines of slipway come first.
sed -i '1i # first, of the administrator' /etc/fstab
sed -i '/^127[.]0[.]0[.]1/a # in the middle, of the administrator' /etc/hosts
echo '192.0.2.11 admin-between' >>/etc/hosts
echo 'tmpfs /mnt tmpfs size=1m 0 0' >>/etc/fstab
mount /mnt
systemctl daemon-reload
systemctl enable --quiet --now admin-between.service

echo 'net.ipv4.tcp_keepalive_intvl = 70' >/etc/sysctl.d/95-admin.conf
sysctl -q -p /etc/sysctl.d/95-admin.conf

# It comes after the configuration of the pod network.
echo '{"cniVersion": "1.0.0", "name": "admin", "plugins": []}' >/etc/cni/net.d/99-admin.conflist
echo admin >/opt/cni/bin/admin-plugin
mkdir /etc/kubernetes/admin
echo admin >/etc/kubernetes/admin/notes

nft -f - <<-RULES
	table ip admin-between {
		chain forward { type filter hook forward priority -10; tcp dport 9 drop; }
	}
RULES
iptables -N ADMIN-BETWEEN
iptables -A ADMIN-BETWEEN -s 192.0.2.77 -m comment --comment 'not KUBE-FORWARD, not cali-' -j DROP
iptables -I FORWARD -j ADMIN-BETWEEN
iptables -A INPUT -j ADMIN-BETWEEN
iptables -t nat -I PREROUTING -d 192.0.2.78 -p tcp --dport 80 -j DNAT --to-destination 192.0.2.79
iptables -t nat -A POSTROUTING -s 192.0.2.80 -j MASQUERADE

ip link add admin-veth type veth peer name admin-peer
ip route add blackhole 203.0.113.192/26
ip rule add from 192.0.2.11 lookup 101 priority 1001
ip netns add admin-between

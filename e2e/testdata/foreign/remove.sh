#!/bin/sh
# Undoes what between.sh did. Fails if a part of it does not exist any more.
set -eu
systemctl is-active --quiet admin-between.service
systemctl disable --quiet --now admin-between.service
rm /etc/systemd/system/admin-between.service
umount /mnt
for line in '^# \(first\|in the middle\), of the administrator$' 'admin-between$' '^tmpfs /mnt '; do
	grep -q "$line" /etc/hosts /etc/fstab
	sed -i "\\@$line@d" /etc/hosts /etc/fstab
done
systemctl daemon-reload

rm /etc/sysctl.d/95-admin.conf
[ "$(sysctl -n net.ipv4.tcp_keepalive_intvl)" = 70 ]
sysctl -q -w net.ipv4.tcp_keepalive_intvl=75

rm /etc/cni/net.d/99-admin.conflist /opt/cni/bin/admin-plugin /etc/kubernetes/admin/notes
rmdir /etc/kubernetes/admin
rmdir /etc/cni/net.d /etc/cni /opt/cni/bin /opt/cni /etc/kubernetes

nft delete table ip admin-between
iptables -D FORWARD -j ADMIN-BETWEEN
iptables -D INPUT -j ADMIN-BETWEEN
iptables -D ADMIN-BETWEEN -s 192.0.2.77 -m comment --comment 'not KUBE-FORWARD, not cali-' -j DROP
iptables -X ADMIN-BETWEEN
iptables -t nat -D PREROUTING -d 192.0.2.78 -p tcp --dport 80 -j DNAT --to-destination 192.0.2.79
iptables -t nat -D POSTROUTING -s 192.0.2.80 -j MASQUERADE

ip link delete admin-veth
ip route delete blackhole 203.0.113.192/26
ip rule delete from 192.0.2.11 lookup 101 priority 1001
ip netns delete admin-between

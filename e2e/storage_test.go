//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
)

// servers exports a disk over iSCSI and a directory over NFS from the first
// machine, with packages of Debian.
const servers = `
apt-get -q update >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install tgt nfs-kernel-server >/dev/null
truncate -s 64M /srv/disk
tgtadm --lld iscsi --op new --mode target --tid 1 --targetname iqn.2026-11.io.slipway:disk
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 --backing-store /srv/disk
tgtadm --lld iscsi --op bind --mode target --tid 1 --initiator-address ALL
mkdir -p /srv/shared
echo '/srv/shared 172.16.16.0/24(rw,no_root_squash,no_subtree_check)' >/etc/exports
systemctl restart nfs-kernel-server
exportfs -ra
`

// initiator uses the disk, as Longhorn does, and the directory.
const initiator = `
modprobe -n iscsi_tcp
iscsiadm -m discovery -t sendtargets -p 172.16.16.100
iscsiadm -m node -T iqn.2026-11.io.slipway:disk -p 172.16.16.100 --login
udevadm settle
disk=$(readlink -f /dev/disk/by-path/ip-172.16.16.100:3260-iscsi-iqn.2026-11.io.slipway:disk-lun-1)
test -b "$disk"
lsblk -n -o NAME,TYPE "$disk"
# multipathd has not claimed the disk: it would have a mapping.
systemctl is-active multipathd
multipathd show maps raw format '%n %d'
mkfs.ext4 -q "$disk"
mkdir -p /mnt/disk
mount "$disk" /mnt/disk
echo "written through iscsi_tcp" >/mnt/disk/data
sync
umount /mnt/disk
mount -o ro "$disk" /mnt/disk
cat /mnt/disk/data
umount /mnt/disk
ls /sys/class/iscsi_session
cat /sys/module/iscsi_tcp/initstate
iscsiadm -m node -T iqn.2026-11.io.slipway:disk -p 172.16.16.100 --logout
mkdir -p /mnt/shared
mount -t nfs -o vers=4.1 172.16.16.100:/srv/shared /mnt/shared
echo "written through NFS" >/mnt/shared/data
umount /mnt/shared
`

// prerequisites prepares the machines for Longhorn, and uses iSCSI and NFS as
// Longhorn does.
func (s *scenario) prerequisites(ctx context.Context, t *testing.T) {
	// The images of Longhorn cannot be pulled here, so only this phase runs.
	s.setAddons(t, "\naddons:\n  - name: longhorn\n")
	defer s.setAddons(t, "")
	r := s.slipway.must(ctx, t, s.on("phase", "run", "storage")...)
	s.took("phase run storage (apt-get, iscsid)", r.took)
	for _, m := range s.lab.names() {
		s.wantOutput(ctx, t, m, map[string]string{
			"systemctl is-active iscsid multipathd":                           "active\nactive",
			"systemctl is-enabled iscsid":                                     "enabled",
			"cat /etc/modules-load.d/slipway-iscsi.conf | grep -cx iscsi_tcp": "1",
			"cat /sys/module/iscsi_tcp/initstate":                             "live",
			"grep -c '^InitiatorName=iqn' /etc/iscsi/initiatorname.iscsi":     "1",
			"command -v mount.nfs":                                            "/usr/sbin/mount.nfs",
		})
	}
	names := s.mustSSH(ctx, t, "kmaster", "cat /etc/iscsi/initiatorname.iscsi")
	if names == s.mustSSH(ctx, t, "kworker1", "cat /etc/iscsi/initiatorname.iscsi") {
		t.Errorf("both machines have the same initiator name: %s", names)
	}
	nothingChanged(t, s.lab.names(), s.slipway.must(ctx, t, s.on("phase", "run", "storage", "-o", "json")...))

	s.mustSSH(ctx, t, "kmaster", servers)
	out := s.mustSSH(ctx, t, "kworker1", initiator)
	for _, want := range []string{"written through iscsi_tcp", " disk", "session1", "live"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "mpath") {
		t.Errorf("multipathd claimed the disk:\n%s", out)
	}
	if got := s.mustSSH(ctx, t, "kmaster", "cat /srv/shared/data"); strings.TrimSpace(got) != "written through NFS" {
		t.Errorf("the directory has %q", got)
	}
}

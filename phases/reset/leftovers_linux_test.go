package reset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// files are the files and links below a directory, without those of the journal.
func files(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	for path, what := range tree(t, root) {
		name := strings.TrimPrefix(path, root)
		if !strings.HasPrefix(what, "d") && !strings.HasPrefix(name, "/journal") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func TestLeftoversScriptDeletesOnlyTheFilesOfTheCluster(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal := root + "/journal"
	write(t, journal+"/sysctls", "", 0o600)
	began := time.Now().Add(-time.Hour)
	if err := os.Chtimes(journal+"/sysctls", began, began); err != nil {
		t.Fatal(err)
	}
	foreign := []string{
		"/etc/cni/net.d/87-podman-bridge.conflist", "/etc/cni/net.d/10-flannel.conflist.mine", "/opt/cni/bin/mine",
		"/etc/kubernetes/audit-policy.yaml", "/etc/kubernetes/manifests/mine.yaml",
		"/usr/libexec/kubernetes/kubelet-plugins/volume/exec/mine/driver",
		"/var/lib/cni/networks/podman/10.88.0.2", "/var/lib/cni/results/podman-1-eth0", "/var/lib/etcd/backup.db",
		"/var/log/containers/mine.log", "/var/log/syslog", "/var/lib/slipway/other",
	}
	cluster := []string{
		"/etc/cni/net.d/10-calico.conflist", "/etc/cni/net.d/calico-kubeconfig", "/etc/cni/net.d/10-flannel.conflist",
		"/etc/cni/net.d/multus.d/multus.kubeconfig", "/opt/cni/bin/calico", "/opt/cni/bin/calico-ipam", "/opt/cni/bin/flannel",
		"/etc/kubernetes/admin.conf", "/etc/kubernetes/pki/ca.key", "/etc/kubernetes/manifests/etcd.yaml", "/etc/kubernetes/tmp/x/y",
		"/usr/libexec/kubernetes/kubelet-plugins/volume/exec/nodeagent~uds/uds",
		"/run/flannel/subnet.env", "/run/calico/x", "/run/nodeagent/socket", "/var/lib/calico/nodename", "/var/log/calico/cni/cni.log",
		"/var/lib/cni/flannel/1", "/var/lib/cni/networks/cbr0/10.244.0.2", "/var/lib/cni/results/cbr0-1-eth0",
		"/var/lib/etcd/member/wal/0.wal", "/var/log/pods/kube-system_etcd_1/etcd/0.log", "/var/lib/slipway/units/kubeadm-init/argv",
		"/run/slipway/services/kubelet.service/0123",
	}
	for _, path := range slices.Concat(foreign, cluster) {
		write(t, root+path, "x", 0o600)
	}
	if err := os.Symlink("/var/log/pods/kube-system_etcd_1/etcd/0.log", root+"/var/log/containers/etcd.log"); err != nil {
		t.Fatal(err)
	}
	// A file of before slipway, and one of a package, have names of the cluster.
	foreign = append(foreign, "/etc/cni/net.d/00-multus.conf", "/opt/cni/bin/multus")
	write(t, root+"/etc/cni/net.d/00-multus.conf", "x", 0o600)
	if err := os.Chtimes(root+"/etc/cni/net.d/00-multus.conf", began, began.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	write(t, root+"/opt/cni/bin/multus", "x", 0o700)
	packages := map[string]string{"dpkg": `[ "$2" = ` + root + `/opt/cni/bin/multus ]`, "rpm": "exit 1"}
	slices.Sort(foreign)
	for range 2 {
		if out := sh(t, "reset/leftovers.sh", packages, journal, root); out != "" {
			t.Errorf("it printed %q", out)
		}
		if diff := cmp.Diff(foreign, files(t, root)); diff != "" {
			t.Error(diff)
		}
	}
	for _, gone := range []string{"/var/log/pods", "/etc/kubernetes/pki"} {
		if _, err := os.Stat(filepath.Join(root, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
}

// The journal of an earlier version does not tell when slipway began.
func TestLeftoversScriptDeletesThePodNetworkAfterAnOldJournal(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/etc/cni/net.d/10-calico.conflist", "x", 0o600)
	none := map[string]string{"dpkg": "exit 1", "rpm": "exit 1"}
	sh(t, "reset/leftovers.sh", none, root+"/journal", root)
	if left := files(t, root); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

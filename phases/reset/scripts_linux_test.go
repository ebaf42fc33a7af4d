package reset

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/journal"
)

// sh runs a script that must succeed. Fake programs come first on its PATH.
func sh(t *testing.T, script string, programs map[string]string, args ...string) {
	t.Helper()
	local := hosttest.Local{Env: []string{hosttest.Programs(t, programs)}}
	if out, stderr, code := local.Script(t, script, args...); code != 0 {
		t.Fatalf("%s: exit code %d: %s%s", script, code, out, stderr)
	}
}

// tree is what a directory holds: mode, and content or where a link leads.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			all[path] = "-> " + target
			return err
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			all[path] = what + " " + info.ModTime().String() + " " + string(content)
			return err
		}
		all[path] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// As WriteFile of a host: another file takes the place of the old one.
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestUndoScriptRestoresWhatTheJournalSaved(t *testing.T) {
	t.Parallel()
	root, journal := t.TempDir(), t.TempDir()+"/journal"
	write(t, root+"/etc/fstab", "swap\n", 0o640)
	write(t, root+"/etc/shared/foreign", "foreign\n", 0o644)
	if err := os.Symlink("../run/resolv.conf", root+"/etc/resolv.conf"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root+"/opt", 0o750); err != nil {
		t.Fatal(err)
	}
	before := tree(t, root)

	// What apply does: the journal, then the change.
	change := func(kind, path, content string) {
		t.Helper()
		sh(t, "journal/files.sh", nil, journal, "phase", kind, path)
		if kind == "file" {
			write(t, path, content, 0o644)
		} else if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	change("file", root+"/etc/fstab", "# swap\n")
	change("file", root+"/etc/resolv.conf", "nameserver\n")
	change("file", root+"/etc/sysctl.d/a/90.conf", "x\n")
	change("file", root+"/etc/shared/ours", "x\n")
	change("dir", root+"/etc/kubernetes", "")
	change("file", root+"/etc/kubernetes/init.yaml", "x\n")
	write(t, root+"/etc/kubernetes/pki/ca.crt", "kubeadm's\n", 0o644)
	change("dir", root+"/opt", "")
	change("file", root+"/opt/x", "x\n")
	change("dir", root+"/var/lib/cni", "")
	write(t, root+"/var/lib/cni/x", "a plugin's\n", 0o644)

	undo := append([]string{journal}, takenBack(t, journal)...)
	sh(t, "reset/undo.sh", nil, undo...)
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Error(diff)
	}
	sh(t, "reset/undo.sh", nil, undo...)
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("a second time, after a reset that was killed: %s", diff)
	}
}

// takenBack are the arguments for the journal's paths, the last first.
func takenBack(t *testing.T, dir string) []string {
	t.Helper()
	content, err := os.ReadFile(dir + "/entries.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for line := range strings.Lines(string(content)) {
		var e journal.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		args = append([]string{e.Kind, strconv.FormatBool(e.Existed), e.Path, e.Made}, args...)
	}
	return args
}

func TestUndoScriptLeavesFoldersThatOthersUse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/etc/new/ours", "x", 0o644)
	write(t, root+"/etc/new/foreign", "x", 0o644)
	sh(t, "reset/undo.sh", nil, root+"/journal", "file", "false", root+"/etc/new/ours", root+"/etc/new")
	if _, err := os.Stat(root + "/etc/new/foreign"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(root + "/etc/new/ours"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestUndoScriptAcceptsAnyPath(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	odd := root + "/a b/$(touch x) *"
	write(t, odd, "x", 0o644)
	write(t, root+"/a b/other", "x", 0o644)
	sh(t, "reset/undo.sh", nil, root+"/journal", "file", "false", odd, "")
	if _, err := os.Stat(odd); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if got := tree(t, root); len(got) != 3 {
		t.Errorf("left %v", got)
	}
}

func TestArchiveScriptKeepsTheJournal(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/journal/entries.jsonl", "{}\n", 0o600)
	quiet := map[string]string{"systemctl": `echo "$*" >>` + root + `/calls; [ "$1" = daemon-reload ]`}
	sh(t, "reset/archive.sh", quiet, root+"/journal", root+"/old/journal-1")
	if _, err := os.Stat(root + "/old/journal-1/entries.jsonl"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(root + "/journal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal is still there: %v", err)
	}
	// A reset that was killed after it.
	sh(t, "reset/archive.sh", quiet, root+"/journal", root+"/old/journal-2")
	calls, err := os.ReadFile(root + "/calls")
	if err != nil || strings.Count(string(calls), "daemon-reload\n") != 2 {
		t.Errorf("systemctl was called with %q, %v", calls, err)
	}
}

// rules are those of a node: kube-proxy's, Flannel's, portmap's and foreign ones.
const rules = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:FLANNEL-POSTRTG - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A KUBE-SERVICES -d 10.96.0.1/32 -j ACCEPT
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:INPUT DROP [0:0]
:KUBE-FIREWALL - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "my kubernetes jump host" -j ACCEPT
-A INPUT -j ufw-user-input
-A FORWARD -m comment --comment "flanneld forward" -j ACCEPT
COMMIT
`

const foreign = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:INPUT DROP [0:0]
:ufw-user-input - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "my kubernetes jump host" -j ACCEPT
-A INPUT -j ufw-user-input
COMMIT
`

// network are stand-ins for the programs of network.sh: none of it touches
// this computer.
func network(t *testing.T, rules string) (standIns map[string]string, written func() string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/rules", rules, 0o644)
	note := func(what string) string { return "echo \"" + what + " $*\" >>" + dir + "/calls" }
	standIns = map[string]string{
		"ip": `case "$*" in
			"link show cni0"|"link delete cni0"|"netns delete cni-1234") ;;
			"-o link")
				echo "2: eth0@if3: <BROADCAST> mtu 1500"
				echo "7: cali12345678@if2: <BROADCAST> mtu 1450"
				echo "8: vxlan.calico: <BROADCAST> mtu 1450"
				exit 0 ;;
			"link show cali12345678"|"link delete cali12345678") ;;
			"link show vxlan.calico") exit 1 ;;
			"link show flannel.1") exit 1 ;;
			"netns list") echo "cni-1234 (id: 0)"; echo "mine"; exit 0 ;;
			*) ` + note("UNEXPECTED") + `; exit 9 ;;
			esac; ` + note("ip"),
		"rm":                note("rm"),
		"iptables-save":     "cat " + dir + "/rules",
		"iptables-restore":  "cat >" + dir + "/restored; " + note("iptables-restore"),
		"ip6tables-save":    "printf '*filter\\n:INPUT ACCEPT [0:0]\\nCOMMIT\\n'",
		"ip6tables-restore": note("UNEXPECTED ip6tables-restore"),
	}
	return standIns, func() string {
		calls, err := os.ReadFile(dir + "/calls")
		if err != nil {
			t.Fatal(err)
		}
		restored, err := os.ReadFile(dir + "/restored")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(calls) + "---\n" + string(restored)
	}
}

func TestNetworkScriptRemovesWhatKubernetesNames(t *testing.T) {
	t.Parallel()
	standIns, written := network(t, rules)
	sh(t, "reset/network.sh", standIns)
	want := "ip link show cni0\nip link delete cni0\nip link show cali12345678\nip link delete cali12345678\n" +
		"ip netns delete cni-1234\niptables-restore \nrm -rf /run/flannel /run/calico /var/lib/calico\n---\n" + foreign
	if diff := cmp.Diff(want, written()); diff != "" {
		t.Error(diff)
	}
}

func TestNetworkScriptWritesNoRulesWhereNoneAreOurs(t *testing.T) {
	t.Parallel()
	standIns, written := network(t, foreign)
	sh(t, "reset/network.sh", standIns)
	if got := written(); strings.Contains(got, "restore") || strings.Contains(got, "UNEXPECTED") {
		t.Errorf("got %s", got)
	}
}

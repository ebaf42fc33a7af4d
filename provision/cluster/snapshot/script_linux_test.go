package snapshot_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// fakeCtr keeps what the script calls, and runs the programs of the image: etcdctl saves
// $SNAPSHOT.
const fakeCtr = `
[ "$1 $2" = "--namespace k8s.io" ] || exit 9
shift 2
echo "$*" >>"$CALLS"
case "$1 $2" in
"run --rm") ;;
*) exit 1 ;; # there is nothing to delete
esac
while [ $# -gt 0 ]; do
	case $1 in
	type=bind,src=*dst=/slipway,*) mount=${1#type=bind,src=} mount=${mount%%,*} ;;
	*/etcdctl) program=etcdctl ;;
	*/etcdutl) program=etcdutl ;;
	/slipway/*) file=$mount/${1#/slipway/} ;;
	esac
	shift
done
case $program in
etcdctl) cat "$SNAPSHOT" >"$file" && echo "Snapshot saved at $file" ;;
etcdutl) [ -s "$file" ] && echo '{"hash":77,"revision":42,"totalKey":12,"totalSize":4096,"version":"3.6.0"}' ;;
esac
`

// machine is a host whose scripts run below a directory.
type machine struct {
	root   string
	script string
	local  hosttest.Local
}

func newMachine(t *testing.T, snapshot string) machine {
	t.Helper()
	return newMachineWith(t, "etcd/snapshot.sh", snapshot)
}

func newMachineWith(t *testing.T, script, snapshot string) machine {
	t.Helper()
	m := machine{root: t.TempDir()}
	path := hosttest.Programs(t, map[string]string{"ctr": fakeCtr})
	bin, _, _ := strings.Cut(strings.TrimPrefix(path, "PATH="), ":")
	// The script has absolute paths.
	m.script = strings.NewReplacer(
		"/usr/local/bin/ctr", bin+"/ctr", "/run/slipway", m.root+"/run", "/etc/kubernetes", m.root+"/kubernetes",
	).Replace(string(templates.Script(script)))
	m.write(t, "kubernetes/manifests/etcd.yaml", "spec:\n  containers:\n  - command:\n    - etcd\n    image: registry.k8s.io/etcd:3.6.8-0\n")
	m.write(t, "kubernetes/pki/etcd/ca.crt", "")
	m.write(t, "snapshot", snapshot)
	m.local.Env = []string{path, "CALLS=" + m.root + "/calls", "SNAPSHOT=" + m.root + "/snapshot"}
	return m
}

func (m machine) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m machine) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	res, err := m.local.Run(t.Context(), host.Script("snapshot.sh", []byte(m.script), args...))
	return string(res.Stdout), err
}

// etcdSnapshot is content with the checksum that etcd appends.
func etcdSnapshot(content string) string {
	content += strings.Repeat("\x00", 4096-len(content))
	sum := sha256.Sum256([]byte(content))
	return content + string(sum[:])
}

func TestTheScriptSavesAPrivateVerifiedSnapshot(t *testing.T) {
	t.Parallel()
	content := etcdSnapshot("the data")
	m := newMachine(t, content)
	path := m.root + "/backups/one.db"
	out, err := m.run(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "image registry.k8s.io/etcd:3.6.8-0\nsize 4128\nsha256 ") || !strings.Contains(out, `status {"hash":77`) {
		t.Errorf("it printed %q", out)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	calls, _ := os.ReadFile(m.root + "/calls")
	lines := strings.Split(strings.TrimSpace(string(calls)), "\n")
	if len(lines) != 5 || lines[0] != "tasks delete --force slipway-etcd-tool" || !strings.Contains(lines[3], "slipway-etcd-tool /usr/local/bin/etcdctl") {
		t.Errorf("the calls of ctr:\n%s", calls)
	}
}

func TestTheScriptKeepsTheOldSnapshotIfTheNewOneIsDamaged(t *testing.T) {
	t.Parallel()
	whole := etcdSnapshot("the data")
	for name, damaged := range map[string]string{
		"another byte":      "T" + whole[1:],
		"another checksum":  whole[:len(whole)-1] + "\x00",
		"truncated":         whole[:1000],
		"without checksum":  whole[:4096],
		"nothing was saved": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, damaged)
			m.write(t, "backups/one.db", "the old one")
			if out, err := m.run(t, m.root+"/backups/one.db"); err == nil {
				t.Errorf("accepted: %q", out)
			}
			files, _ := filepath.Glob(m.root + "/backups/*")
			hidden, _ := filepath.Glob(m.root + "/backups/.*")
			content, _ := os.ReadFile(m.root + "/backups/one.db")
			if len(files) != 1 || len(hidden) != 0 || string(content) != "the old one" {
				t.Errorf("the directory has %v and %v, one.db is %q", files, hidden, content)
			}
		})
	}
}

func TestTheScriptNamesAHostWithoutEtcd(t *testing.T) {
	t.Parallel()
	m := newMachine(t, etcdSnapshot("the data"))
	if err := os.Remove(m.root + "/kubernetes/manifests/etcd.yaml"); err != nil {
		t.Fatal(err)
	}
	if out, err := m.run(t, m.root+"/backups/one.db"); err == nil || !strings.Contains(err.Error(), "runs no member of etcd") {
		t.Errorf("%q, %v", out, err)
	}
}

// The timer of a host runs this script; slipway reads what it writes.
func TestTheScriptOfTheTimerWritesABackup(t *testing.T) {
	t.Parallel()
	content := etcdSnapshot("the data")
	m := newMachineWith(t, "etcd/backup.sh", content)
	m.write(t, "kubernetes/manifests/kube-apiserver.yaml", "    image: registry.k8s.io/kube-apiserver:v1.36.5\n")
	m.write(t, "fixed.json", `{"podSubnet":"10.244.0.0/16"}`+"\n")
	dir := m.root + "/backups"
	for day := range 4 { // older ones, another cluster, and what a killed run has left
		m.write(t, fmt.Sprintf("backups/lab-2026010%dT000000Z.slipway.tar", day+1), "old")
	}
	m.write(t, "backups/lab-2-20260101T000000Z.slipway.tar", "of another cluster")
	m.write(t, "backups/.incomplete-abc/content.tar.gz", "left")
	out, err := m.run(t, dir+"/.snapshot.db", "lab", "cp-1", "v1.36.4", m.root+"/fixed.json", "3")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "deleted "+dir+"/lab-20260101T000000Z.slipway.tar\n") || strings.Count(out, "deleted") != 2 {
		t.Errorf("it printed %q", out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Fatalf("the directory has %v, %v", entries, err)
	}
	kept, err := backup.List(dir, "lab")
	if err != nil {
		t.Fatal(err)
	}
	path := kept[0].Path
	manifest, whole, err := backup.Verify(t.Context(), path, nil)
	if err != nil || !whole {
		t.Fatalf("%v, %v", whole, err)
	}
	if manifest.Kubernetes != "v1.36.5" || manifest.Host != "cp-1" || manifest.Etcd.Revision != 42 || manifest.Etcd.StorageVersion != "3.6.0" || manifest.Fixed.PodSubnet != "10.244.0.0/16" {
		t.Errorf("the manifest is %+v", manifest)
	}
	if filepath.Base(path) != manifest.FileName() {
		t.Errorf("it is %s, not %s", path, manifest.FileName())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	opened, err := backup.Open(t.Context(), path, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(opened.Snapshot); err != nil || string(got) != content {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	damaged, _ := os.ReadFile(path)
	for _, at := range []int{0, 600, len(damaged) / 2, len(damaged) - 200, len(damaged) - 1} {
		damaged[at] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := backup.Verify(t.Context(), path, nil); err == nil {
			t.Errorf("damaged at byte %d: accepted", at)
		}
		damaged[at] ^= 1
	}
}

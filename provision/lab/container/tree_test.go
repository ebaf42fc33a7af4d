package container

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	templates "slipway.io/slipway/templates/lab"
)

func TestBaseKeyChangesWithEachInput(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{"etc/fstab": {Data: []byte("a")}}
	b := base{Suite: "bookworm", Arch: "amd64", Mirror: "http://deb.example", Packages: []string{"a", "b"}}
	key := func(change func(*base), tree fstest.MapFS, setup string) string {
		changed := b
		change(&changed)
		k, err := changed.key(tree, []byte(setup))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := func(*base) {}
	first := key(same, tree, "setup")
	if again := key(func(b *base) { b.Packages = []string{"b", "a"} }, tree, "setup"); again != first {
		t.Error("the order of packages changes the key")
	}
	for name, other := range map[string]string{
		"suite":        key(func(b *base) { b.Suite = "trixie" }, tree, "setup"),
		"architecture": key(func(b *base) { b.Arch = "arm64" }, tree, "setup"),
		"mirror":       key(func(b *base) { b.Mirror = "http://other.example" }, tree, "setup"),
		"packages":     key(func(b *base) { b.Packages = []string{"a"} }, tree, "setup"),
		"setup script": key(same, tree, "other"),
		"file content": key(same, fstest.MapFS{"etc/fstab": {Data: []byte("b")}}, "setup"),
		"file name":    key(same, fstest.MapFS{"etc/other": {Data: []byte("a")}}, "setup"),
	} {
		if other == first {
			t.Errorf("another %s has the same key", name)
		}
	}
}

func TestBaseIsCompleteOnlyWithItsMarker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if complete(dir, "k") {
		t.Error("a tree without a marker is complete")
	}
	if err := os.WriteFile(filepath.Join(dir, "complete"), []byte("k\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !complete(dir, "k") || complete(dir, "other") {
		t.Error("the marker is not compared with the key")
	}
}

func TestCopiedFilesStayInsideTheTree(t *testing.T) {
	t.Parallel()
	tree, outside := t.TempDir(), filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.MkdirAll(filepath.Join(tree, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(tree, "etc", "fstab")); err != nil {
		t.Fatal(err)
	}
	if err := copyFiles(tree, templates.Tree()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Error("a link led out of the tree")
	}
	fstab, err := os.ReadFile(filepath.Join(tree, "etc", "fstab"))
	if err != nil || !strings.Contains(string(fstab), " none swap ") {
		t.Errorf("fstab has no swap line: %q, %v", fstab, err)
	}
	info, err := os.Stat(filepath.Join(tree, "usr/local/lib/slipway-lab/network.sh"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("network.sh is not executable: %v, %v", info, err)
	}
}

func TestKeysAreCreatedOnceAndKnown(t *testing.T) {
	t.Parallel()
	s := testSession(t)
	s.state.Subnet = prefix("10.88.77.0/24")
	s.state.Machines = []*machine{{Name: "cp1", Address: addr("10.88.77.11")}, {Name: "w1", Address: addr("10.88.77.101")}}
	if err := s.ensureKeys(); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, s.identityPath(), s.lab().KnownHostsFile(), s.hostKeyPath(s.state.Machines[0]))
	if err := s.ensureKeys(); err != nil {
		t.Fatal(err)
	}
	if after := readAll(t, s.identityPath(), s.lab().KnownHostsFile(), s.hostKeyPath(s.state.Machines[0])); after != before {
		t.Error("the second call replaces the keys")
	}

	check, err := knownhosts.New(s.lab().KnownHostsFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.state.Machines {
		signer, err := ssh.ParsePrivateKey([]byte(readAll(t, s.hostKeyPath(m))))
		if err != nil {
			t.Fatal(err)
		}
		remote := fakeAddr(m.Address.String() + ":22")
		if err := check(string(remote), remote, signer.PublicKey()); err != nil {
			t.Errorf("known_hosts does not know %s: %v", m.Name, err)
		}
	}
	info, err := os.Stat(s.identityPath())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", info.Mode(), err)
	}
}

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }

func readAll(t *testing.T, paths ...string) string {
	t.Helper()
	var all strings.Builder
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}

func TestMachineIDsAreValidAndDiffer(t *testing.T) {
	t.Parallel()
	one, other := newMachineID(), newMachineID()
	if valid := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`); !valid.MatchString(one) {
		t.Errorf("%s is no random id", one)
	}
	if one == other {
		t.Error("two machines have one id")
	}
}

func TestMachinesNameNoOutsideResolver(t *testing.T) {
	t.Parallel()
	m := &machine{Name: "cp1", Address: addr("10.88.77.11")}
	if got := resolvConf(m); !strings.HasPrefix(got, "nameserver 10.88.77.11\n") || strings.Count(got, "nameserver") != 1 {
		t.Errorf("resolv.conf: %q", got)
	}
	if got := etcHosts(m); !strings.Contains(got, "10.88.77.11 cp1\n") || strings.Contains(got, "127.0.1.1") {
		t.Errorf("hosts: %q", got)
	}
	if sudoers(true) == sudoers(false) || strings.Contains(sudoers(false), "NOPASSWD") {
		t.Error("sudo needs no password")
	}
}

func TestNewTempDirDeletesOnlyFormerAttempts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "tree")
	first, err := newTempDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{path, filepath.Join(dir, "tree.partial")} {
		if err := os.Mkdir(kept, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	second, err := newTempDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Errorf("two attempts share %s", first)
	}
	if _, err := os.Stat(first); err == nil {
		t.Error("the former attempt stays")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("%v, %v; want tree, tree.partial and the new one", entries, err)
	}
}

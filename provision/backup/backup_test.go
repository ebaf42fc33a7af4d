package backup_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/cluster/snapshot"
)

var created = time.Date(2026, 7, 31, 10, 0, 0, 0, time.UTC)

func manifest() backup.Manifest {
	return backup.Manifest{
		Cluster: "lab", Created: created, Kubernetes: "v1.36.4", Host: "cp-1", PKI: true, CAHash: "sha256:00",
		Etcd: snapshot.Snapshot{Revision: 42, Keys: 7, Hash: 1},
	}
}

func sources() []backup.Source {
	return []backup.Source{
		{File: backup.File{Name: backup.SnapshotName, Mode: 0o600}, Content: []byte(strings.Repeat("data", 1000))},
		{File: backup.File{Name: backup.HostName("/etc/kubernetes/pki/ca.key"), Mode: 0o600}, Content: []byte("PRIVATE KEY")},
	}
}

// keys are a pair of keys of age.
func keys(t *testing.T) ([]age.Recipient, []age.Identity) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return []age.Recipient{identity.Recipient()}, []age.Identity{identity}
}

func write(t *testing.T, dir string, m backup.Manifest, recipients []age.Recipient) string {
	t.Helper()
	path, _, err := backup.Write(t.Context(), dir, m, recipients, sources()...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestABackupHasWhatWasWritten(t *testing.T) {
	t.Parallel()
	recipients, identities := keys(t)
	for name, to := range map[string][]age.Recipient{"encrypted": recipients, "not encrypted": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "backups")
			path := write(t, dir, manifest(), to)
			if filepath.Base(path) != "lab-20260731T100000Z.slipway.tar" {
				t.Errorf("it is %s", path)
			}
			for at, want := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
				if info, err := os.Stat(at); err != nil || info.Mode().Perm() != want {
					t.Errorf("%s: %v, %v", at, info.Mode(), err)
				}
			}
			if others, _ := os.ReadDir(dir); len(others) != 1 {
				t.Errorf("the directory has %v", others)
			}
			content, err := backup.Open(t.Context(), path, t.TempDir(), identities)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(content.Snapshot); err != nil || string(got) != strings.Repeat("data", 1000) {
				t.Errorf("the snapshot has %d bytes, %v", len(got), err)
			}
			if got := string(content.Files["host/etc/kubernetes/pki/ca.key"]); got != "PRIVATE KEY" {
				t.Errorf("the key is %q", got)
			}
			text, _ := os.ReadFile(path)
			if to != nil && (strings.Contains(string(text), "PRIVATE KEY") || content.Manifest.Encryption != backup.Age) {
				t.Error("it is not encrypted")
			}
		})
	}
}

func TestEveryDamagedByteIsDetected(t *testing.T) {
	t.Parallel()
	recipients, identities := keys(t)
	whole, err := os.ReadFile(write(t, t.TempDir(), manifest(), recipients))
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "x"+backup.Suffix)
	for i := range whole {
		content := slices.Clone(whole)
		content[i] ^= 0x20
		if err := os.WriteFile(damaged, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var wrong *backup.DamagedError
		if _, _, err := backup.Verify(t.Context(), damaged, identities); !errors.As(err, &wrong) {
			t.Fatalf("byte %d of %d: %v", i, len(whole), err)
		}
	}
	for _, size := range []int{0, 10, 512, len(whole) - 1} {
		if err := os.WriteFile(damaged, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := backup.Verify(t.Context(), damaged, identities); err == nil {
			t.Errorf("truncated to %d bytes: accepted", size)
		}
	}
	if err := os.WriteFile(damaged, append(whole, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := backup.Verify(t.Context(), damaged, identities); err == nil {
		t.Error("with a byte more: accepted")
	}
}

func TestWithoutTheRightKeyNothingIsRead(t *testing.T) {
	t.Parallel()
	recipients, _ := keys(t)
	_, others := keys(t)
	path := write(t, t.TempDir(), manifest(), recipients)
	if m, whole, err := backup.Verify(t.Context(), path, nil); err != nil || whole || m.Cluster != "lab" {
		t.Errorf("without a key: %v, %v, %v", m, whole, err)
	}
	if _, err := backup.Open(t.Context(), path, t.TempDir(), nil); !errors.Is(err, backup.ErrNoIdentity) {
		t.Errorf("opened without a key: %v", err)
	}
	var damaged *backup.DamagedError
	if _, err := backup.Open(t.Context(), path, t.TempDir(), others); err == nil || errors.As(err, &damaged) {
		t.Errorf("opened with the key of somebody else: %v", err)
	}
}

func TestAPassphraseEncrypts(t *testing.T) {
	t.Parallel()
	to, err := backup.Passphrase("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	to[0].(*age.ScryptRecipient).SetWorkFactor(10)
	path := write(t, t.TempDir(), manifest(), to)
	right, _ := backup.PassphraseIdentity("correct horse")
	wrong, _ := backup.PassphraseIdentity("battery staple")
	if _, whole, err := backup.Verify(t.Context(), path, right); err != nil || !whole {
		t.Errorf("%v, %v", whole, err)
	}
	if _, _, err := backup.Verify(t.Context(), path, wrong); err == nil {
		t.Error("another passphrase decrypts it")
	}
	if _, err := backup.Passphrase(""); err == nil {
		t.Error("an empty passphrase is accepted")
	}
}

// The archive is an ordinary one: people can unpack it without slipway.
func TestTarReadsABackup(t *testing.T) {
	t.Parallel()
	file, err := os.Open(write(t, t.TempDir(), manifest(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var names []string
	archive := tar.NewReader(file)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
	}
	if diff := cmp.Diff([]string{"manifest.json", "content.tar.gz"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestAWrongChecksumOfASourceIsRefused(t *testing.T) {
	t.Parallel()
	dir, all := t.TempDir(), sources()
	all[0].SHA256 = strings.Repeat("0", 64)
	if _, _, err := backup.Write(t.Context(), dir, manifest(), nil, all...); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

func TestTheNewestBackupsOfEachClusterStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for cluster, count := range map[string]int{"lab": 9, "shop": 2} {
		for day := range count {
			m := manifest()
			m.Cluster, m.Created = cluster, created.AddDate(0, 0, day)
			write(t, dir, m, nil)
		}
	}
	if err := os.WriteFile(dir+"/lab-damaged"+backup.Suffix, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := backup.List(dir, "")
	if err != nil || len(all) != 12 || all[11].Problem == "" {
		t.Fatalf("%d backups, %v", len(all), err)
	}
	var names []string
	for _, kept := range backup.Old(all, 7) {
		names = append(names, filepath.Base(kept.Path))
	}
	if diff := cmp.Diff([]string{"lab-20260801T100000Z.slipway.tar", "lab-20260731T100000Z.slipway.tar"}, names); diff != "" {
		t.Error(diff)
	}
	if of, err := backup.List(dir, "shop"); err != nil || len(of) != 3 {
		t.Errorf("%d backups of shop, %v", len(of), err)
	}
	if none, err := backup.List(dir+"/none", ""); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
}

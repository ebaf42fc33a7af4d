package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/cluster/snapshot"
)

// backups writes n backups of a cluster to a directory, the oldest first.
func backups(t *testing.T, dir string, n int, recipients ...age.Recipient) []string {
	t.Helper()
	var paths []string
	for day := range n {
		m := backup.Manifest{
			Cluster: "lab", Created: time.Date(2026, 7, day+1, 10, 0, 0, 0, time.UTC), Kubernetes: "v1.36.4", PKI: len(recipients) > 0,
			Etcd: snapshot.Snapshot{Revision: int64(day + 1)},
		}
		path, _, err := backup.Write(t.Context(), dir, m, recipients, backup.Source{File: backup.File{Name: backup.SnapshotName, Mode: 0o600}, Content: []byte("data")})
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestBackupsAreListedVerifiedAndPrunedWithoutHosts(t *testing.T) {
	home := alone(t)
	t.Setenv("XDG_DATA_HOME", home+"/data")
	dir := home + "/data/slipway/backups"
	paths := backups(t, dir, 9)

	out, _, code := slipway(t, "backup", "list", "-o", "json")
	var listed []backup.Kept
	if err := json.Unmarshal([]byte(out), &listed); err != nil || code != 0 || len(listed) != 9 || listed[0].Path != paths[8] {
		t.Errorf("exit code %d, %v, %s", code, err, out)
	}
	if out, _, code := slipway(t, "backup", "list"); code != 0 || !strings.Contains(out, "lab") || !strings.Contains(out, paths[0]) {
		t.Errorf("exit code %d, %s", code, out)
	}
	if out, complaints, code := slipway(t, "backup", "verify"); code != 0 || strings.Count(out, ": verified\n") != 9 {
		t.Errorf("exit code %d, %s%s", code, out, complaints)
	}
	if out, _, code := slipway(t, "backup", "prune", "--plan"); code != 0 || strings.Count(out, "would delete ") != 2 || count(t, dir) != 9 {
		t.Errorf("exit code %d, %s", code, out)
	}
	out, _, code = slipway(t, "backup", "prune")
	if code != 0 || out != "deleted "+paths[1]+"\ndeleted "+paths[0]+"\n" || count(t, dir) != 7 {
		t.Errorf("exit code %d, %s", code, out)
	}
	if out, _, code := slipway(t, "backup", "prune", "-o", "json"); code != 0 || out != "{\n  \"deleted\": []\n}\n" {
		t.Errorf("exit code %d, %s", code, out)
	}
	if _, _, code := slipway(t, "backup", "prune", "--keep", "0"); code != exitUsage {
		t.Errorf("--keep 0: exit code %d", code)
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestADamagedBackupIsReported(t *testing.T) {
	home := alone(t)
	path := backups(t, home+"/backups", 1)[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	write(t, path, string(content))
	out, complaints, code := slipway(t, "backup", "verify", filepath.Base(path), "--dir", "backups", "-o", "json")
	if code != exitBundle || !strings.Contains(complaints, "is damaged") || !strings.Contains(out, `"ok": false`) {
		t.Errorf("exit code %d, %s%s", code, out, complaints)
	}
	if _, _, code := slipway(t, "backup", "verify", "none"); code != exitUsage {
		t.Errorf("no such backup: exit code %d", code)
	}
}

func TestAnEncryptedBackupIsVerifiedWithItsKey(t *testing.T) {
	home := alone(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := backups(t, home+"/backups", 1, identity.Recipient())[0]
	write(t, home+"/key", identity.String()+"\n")
	if out, _, code := slipway(t, "backup", "verify", path); code != 0 || !strings.Contains(out, "pass --identity") {
		t.Errorf("exit code %d, %s", code, out)
	}
	if out, _, code := slipway(t, "backup", "verify", path, "--identity", "key"); code != 0 || out != path+": verified\n" {
		t.Errorf("exit code %d, %s", code, out)
	}
	write(t, home+"/passphrase", "wrong\n")
	if _, complaints, code := slipway(t, "backup", "verify", path, "--passphrase-file", "passphrase"); code != exitFailed || !strings.Contains(complaints, "not one of this backup") {
		t.Errorf("exit code %d, %s", code, complaints)
	}
}

func TestTheKeysOfABackupAreChecked(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", single)
	write(t, home+"/passphrase", "secret\n")
	write(t, home+"/empty", "\n")
	for name, args := range map[string][]string{
		"a recipient that is none":        {"--recipient", "nobody"},
		"a file that does not exist":      {"--recipients-file", "none"},
		"recipients and a passphrase":     {"--recipient", "nobody", "--passphrase-file", "passphrase"},
		"an empty passphrase":             {"--passphrase-file", "empty"},
		"a passphrase without a terminal": {"--passphrase"},
	} {
		if _, complaints, code := slipway(t, append([]string{"backup", "create"}, args...)...); code != exitUsage || strings.Contains(complaints, "secret") {
			t.Errorf("%s: exit code %d, %s", name, code, complaints)
		}
	}
}

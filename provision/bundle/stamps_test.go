//go:build linux

package bundle

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStampsNoticeAnyChangeOfAFile(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	path := filepath.Join(dir, "kubelet")
	write := func(content string) os.FileInfo {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	it := item{path: "kubelet", sha256: "aa", size: 4}
	info := write("good")

	young := loadStamps(dir)
	young.add(it, info)
	young.save()
	if loadStamps(dir).has(it, info) {
		t.Error("a file that was written a moment ago is remembered: a change in the same tick would not show")
	}

	// As if it had been written a while ago and hashed after.
	old, ok := stampOf(info)
	if !ok {
		t.Fatal("no stamp of a file")
	}
	old.SHA256 = it.sha256
	kept := loadStamps(dir)
	kept.fresh[it.path] = old
	kept.save()
	if !loadStamps(dir).has(it, info) {
		t.Fatal("a file that is as it was is not remembered")
	}
	if other := (item{path: "kubelet", sha256: "bb", size: 4}); loadStamps(dir).has(other, info) {
		t.Error("another sum is taken for verified")
	}

	mtime := info.ModTime()
	write("evil")
	if err := os.Chtimes(path, mtime, mtime); err != nil {
		t.Fatal(err)
	}
	changed, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if loadStamps(dir).has(it, changed) {
		t.Error("a file of the same size and modification time, but other content, is taken for verified")
	}
}

func TestDamagedStampsCostOnlyTime(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	s := loadStamps("/bundle")
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, []byte("{not json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if known := loadStamps("/bundle").known; len(known) != 0 {
		t.Errorf("damaged stamps were read as %v", known)
	}
}

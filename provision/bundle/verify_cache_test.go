//go:build linux

package bundle

import (
	"os"
	"path/filepath"
	"testing"
)

func TestVerifyCacheDetectsEveryChangeOfAFile(t *testing.T) {
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

	recent := loadVerifyCache(dir)
	recent.add(it, info)
	recent.save()
	if loadVerifyCache(dir).has(it, info) {
		t.Error("a file written a moment ago is cached: a change in the same tick would go unnoticed")
	}

	// As if the file had been hashed long after it was written.
	old, ok := stateOf(info)
	if !ok {
		t.Fatal("no state of a file")
	}
	old.SHA256 = it.sha256
	kept := loadVerifyCache(dir)
	kept.fresh[it.path] = old
	kept.save()
	if !loadVerifyCache(dir).has(it, info) {
		t.Fatal("an unchanged file is not cached")
	}
	if other := (item{path: "kubelet", sha256: "bb", size: 4}); loadVerifyCache(dir).has(other, info) {
		t.Error("a file is verified for another sum")
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
	if loadVerifyCache(dir).has(it, changed) {
		t.Error("a changed file with the same size and modification time is verified")
	}
}

func TestACorruptVerifyCacheIsIgnored(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	s := loadVerifyCache("/bundle")
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, []byte("{not json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if known := loadVerifyCache("/bundle").known; len(known) != 0 {
		t.Errorf("a corrupt cache was read as %v", known)
	}
}

package localhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockHasOneHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "labs", "x.lock")
	first, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(path)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d since", os.Getpid())) {
		t.Errorf("a second holder: %v, want who has it", err)
	}
	first.Release()
	if _, err := os.Stat(path); err == nil {
		t.Error("the file stays after the release")
	}
	second, err := Acquire(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	second.Release()
}

func TestLockOnARemovedFileDoesNotCount(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if !sameFile(file, path) {
		t.Error("the file at its path is taken for another one")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if sameFile(file, path) {
		t.Error("a removed file is taken for the one at its path")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if sameFile(file, path) {
		t.Error("another file at the path is taken for the first")
	}
}

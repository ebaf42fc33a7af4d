package localhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestALockHasOneHolderWhoIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "labs", "x.lock")
	first, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(path)
	if !errors.Is(err, ErrLocked) {
		t.Errorf("a second holder: %v, want ErrLocked", err)
	}
	if holder := fmt.Sprintf("pid %d since", os.Getpid()); runtime.GOOS != "windows" && !strings.Contains(fmt.Sprint(err), holder) {
		t.Errorf("%v does not name the holder %q", err, holder)
	}
	first.Release()
	second, err := Acquire(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	second.Release()
}

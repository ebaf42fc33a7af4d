package ssh_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

func TestUploadSendsOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, _ := shellHost(t, hosttest.ServerConfig{})
	blob := newBlob(t, filepath.Join(t.TempDir(), "new", "it's a blob"), 5<<20+3)
	blob.Mode = 0o755
	for _, want := range []bool{true, false} {
		changed, err := h.Upload(t.Context(), blob)
		if err != nil || changed != want {
			t.Fatalf("changed %v, %v", changed, err)
		}
		if !sameContent(t, blob.Path, blob.Source) {
			t.Fatal("another content arrived")
		}
	}
	if err := os.Chmod(blob.Path, 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := h.Upload(t.Context(), blob); err != nil || !changed {
		t.Errorf("another mode: changed %v, %v", changed, err)
	}
	if info, err := os.Stat(blob.Path); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info, err)
	}
	// The same length, another content.
	if err := os.WriteFile(blob.Path, make([]byte, blob.Size), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := h.Upload(t.Context(), blob); err != nil || !changed || !sameContent(t, blob.Path, blob.Source) {
		t.Errorf("damaged there: changed %v, %v", changed, err)
	}
	if left := temps(t, filepath.Dir(blob.Path)); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUploadRefusesALocalFileThatIsNotTheBlob(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	for name, spoil := range map[string]func(*host.Blob){
		"another checksum": func(b *host.Blob) { b.SHA256 = strings.Repeat("0", 64) },
		"another size":     func(b *host.Blob) { b.Size++ },
	} {
		blob := newBlob(t, filepath.Join(dir, "b"), 1<<16)
		spoil(&blob)
		changed, err := h.Upload(t.Context(), blob)
		if !errors.Is(err, host.ErrCorrupt) || changed {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, err := h.Upload(t.Context(), host.Blob{Path: filepath.Join(dir, "b"), Source: "/missing"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing source: %v", err)
	}
}

func TestUploadThatIsDamagedOnTheWayIsNotPutInPlace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	run := hosttest.Shell("")
	s := hosttest.NewServer(t, hosttest.ServerConfig{
		SFTP: true,
		Exec: func(ctx context.Context, e hosttest.Exec) int {
			// The machine says another sum, as with a failing disk.
			e.Command = strings.Replace(e.Command, "sha256sum", "sha512sum | cut -c1-64 | sed 's/$/  -/' #", 1)
			return run(ctx, e)
		},
	})
	dir := t.TempDir()
	changed, err := dial(t, optionsFor(s)).Upload(t.Context(), newBlob(t, filepath.Join(dir, "b"), 1<<16))
	if !errors.Is(err, host.ErrCorrupt) || changed {
		t.Errorf("changed %v, %v", changed, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestUploadSurvivesABrokenLine(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, s := shellHost(t, hosttest.ServerConfig{Latency: 20 * time.Millisecond})
	dir := t.TempDir()
	for i := range 6 {
		blob := newBlob(t, filepath.Join(dir, "b"), 1<<20+i)
		if _, err := h.ReadFile(t.Context(), blob.Source); err != nil { // The line is up.
			t.Fatal(err)
		}
		cut := time.AfterFunc(time.Duration(i)*60*time.Millisecond, s.Drop)
		changed, err := h.Upload(t.Context(), blob)
		cut.Stop()
		if err != nil || !changed || !sameContent(t, blob.Path, blob.Source) {
			t.Errorf("cut after %d ms: changed %v, %v", i*60, changed, err)
		}
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUploadEndsWithItsContextAndLeavesNothing(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, _ := shellHost(t, hosttest.ServerConfig{Latency: 40 * time.Millisecond})
	dir := t.TempDir()
	blob := newBlob(t, filepath.Join(dir, "b"), 64<<20)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := h.Upload(ctx, blob)
		done <- err
	}()
	waitUntil(t, "the upload runs", func() bool { return len(temps(t, dir)) == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	waitUntil(t, "the temporary file is gone", func() bool { return len(temps(t, dir)) == 0 })
	if _, err := os.Stat(blob.Path); err == nil {
		t.Error("the file is in place")
	}
}

func TestSumsWorkOverSSH(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	blob := newBlob(t, filepath.Join(t.TempDir(), "x"), 1000)
	got, err := host.Sums(t.Context(), h, []string{blob.Source, blob.Path})
	if err != nil || len(got) != 1 || got[blob.Source] != blob.SHA256 {
		t.Errorf("got %v, %v", got, err)
	}
}

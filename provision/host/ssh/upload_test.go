package ssh_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"slipway.io/slipway/provision/host/hosttest"
)

func TestUploadReplacesTheFile(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, _ := shellHost(t, hosttest.ServerConfig{})
	blob := newBlob(t, filepath.Join(t.TempDir(), "new", "it's a blob"), 5<<20+3)
	blob.Mode = 0o755
	for range 2 {
		if err := h.Upload(t.Context(), blob); err != nil || !sameContent(t, blob.Path, blob.Source) {
			t.Fatalf("upload: %v", err)
		}
		if info, err := os.Stat(blob.Path); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("mode %v, %v", info, err)
		}
		// The same length with another content.
		if err := os.WriteFile(blob.Path, make([]byte, blob.Size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if left := temps(t, filepath.Dir(blob.Path)); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUploadSurvivesALostConnection(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, s := shellHost(t, hosttest.ServerConfig{Latency: 20 * time.Millisecond})
	dir := t.TempDir()
	for i := range 6 {
		blob := newBlob(t, filepath.Join(dir, "b"), 1<<20+i)
		if _, err := h.ReadFile(t.Context(), blob.Source); err != nil { // connects
			t.Fatal(err)
		}
		drop := time.AfterFunc(time.Duration(i)*60*time.Millisecond, s.Drop)
		err := h.Upload(t.Context(), blob)
		drop.Stop()
		if err != nil || !sameContent(t, blob.Path, blob.Source) {
			t.Errorf("dropped after %d ms: %v", i*60, err)
		}
	}
}

func TestUploadReconnectsWhenTheConnectionWasLostBefore(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, s := shellHost(t, hosttest.ServerConfig{})
	blob := newBlob(t, filepath.Join(t.TempDir(), "b"), 1<<16)
	for range 3 {
		s.Drop()
		if err := h.Upload(t.Context(), blob); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUploadRemovesItsTemporaryFilesWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, _ := shellHost(t, hosttest.ServerConfig{Latency: 40 * time.Millisecond})
	dir := t.TempDir()
	blob := newBlob(t, filepath.Join(dir, "b"), 64<<20)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- h.Upload(ctx, blob)
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

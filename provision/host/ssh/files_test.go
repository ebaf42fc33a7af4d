package ssh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// mine is a file that belongs to the user who runs the test.
func mine(path, content string) host.File {
	return host.File{Path: path, Content: []byte(content), UID: os.Getuid(), GID: os.Getgid()}
}

// newBlob returns a blob with generated content for a path on the host.
func newBlob(t testing.TB, path string, size int) host.Blob {
	t.Helper()
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i * 7 >> (i % 5))
	}
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, content, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return host.Blob{Path: path, Source: source, SHA256: hex.EncodeToString(sum[:]), Size: int64(size)}
}

func sameContent(t testing.TB, a, b string) bool {
	t.Helper()
	x, errX := os.ReadFile(a)
	y, errY := os.ReadFile(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	for name, size := range map[string]int{
		"empty": 0, "small": 10, "one packet": 32 << 10, "a byte more": 32<<10 + 1, "large": 3<<20 + 17,
	} {
		path := filepath.Join(dir, name)
		want := bytes.Repeat([]byte{'a', 'b', 'c', 0}, size/4+1)[:size]
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := h.ReadFile(t.Context(), path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes of %d, %v", name, len(got), size, err)
		}
	}
	// These report a size of 0.
	for _, path := range []string{"/proc/version", "/proc/self/mounts", "/proc/sys/kernel/random/boot_id"} {
		want, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if got, err := h.ReadFile(t.Context(), path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
	if _, err := h.ReadFile(t.Context(), filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := h.ReadFile(t.Context(), "relative"); err == nil {
		t.Error("a relative path was read")
	}
}

func TestReadFileRefusesAFileWithoutEnd(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	if _, err := h.ReadFile(t.Context(), "/dev/zero"); err == nil || err.Error() != "n1: read /dev/zero: the file has more than 64 MiB" {
		t.Errorf("got %v", err)
	}
}

func TestFilesAreAccessedWithSudo(t *testing.T) {
	t.Parallel()
	for name, password := range map[string]string{"free": "", "secret pw": "secret pw"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO="+name, "FAKE_SUDO_LOG=/dev/null")
			o := optionsFor(s)
			o.User = "bob"
			o.SudoPassword = func(context.Context) (string, error) { return password, nil }
			h := dial(t, o)
			path := filepath.Join(t.TempDir(), "f")
			if err := h.WriteFiles(t.Context(), mine(path, "x")); err != nil {
				t.Fatal(err)
			}
			if got, err := h.ReadFile(t.Context(), path); err != nil || string(got) != "x" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestFilesWithoutPrivilegeAreDenied(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO=denied")
	o := optionsFor(s)
	o.User = "bob"
	if _, err := dial(t, o).ReadFile(t.Context(), "/proc/version"); !errors.Is(err, host.ErrSudo) {
		t.Errorf("got %v", err)
	}
}

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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// mine is a file that belongs to the user who runs the test.
func mine(path, content string) host.File {
	return host.File{Path: path, Content: []byte(content), UID: os.Getuid(), GID: os.Getgid()}
}

// newBlob is a local file of random-looking content for a path on the machine.
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
	// These have no size.
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

func TestWriteFileChangesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	path := filepath.Join(t.TempDir(), "a", "b", "file")
	large := strings.Repeat("0123456789", 20000)
	for _, step := range []struct {
		name    string
		file    host.File
		changed bool
	}{
		{"absent", mine(path, "one"), true},
		{"the same", mine(path, "one"), false},
		{"another content of the same length", mine(path, "two"), true},
		{"a longer content", mine(path, "three"), true},
		{"a large content", mine(path, large), true},
		{"the same large content", mine(path, large), false},
		{"an empty content", mine(path, ""), true},
		{"the same empty content", mine(path, ""), false},
		{"another mode", withMode(mine(path, ""), 0o600), true},
		{"the same mode", withMode(mine(path, ""), 0o600), false},
	} {
		differs, err := h.Differs(t.Context(), step.file)
		if err != nil || (len(differs) > 0) != step.changed {
			t.Errorf("%s: Differs = %v, %v", step.name, differs, err)
		}
		changed, err := host.EnsureFiles(t.Context(), h, step.file)
		if err != nil || changed != step.changed {
			t.Errorf("%s: changed %v, %v", step.name, changed, err)
		}
		content, err := os.ReadFile(path)
		if err != nil || string(content) != string(step.file.Content) {
			t.Errorf("%s: the file holds %d bytes, %v", step.name, len(content), err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != step.file.Perm() {
			t.Errorf("%s: mode %v, %v", step.name, info.Mode(), err)
		}
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
		if left := temps(t, dir); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

func withMode(f host.File, mode fs.FileMode) host.File { f.Mode = mode; return f }

func TestWriteFileGivesTheOwner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, _ := shellHost(t, hosttest.ServerConfig{})
	file := host.File{Path: filepath.Join(t.TempDir(), "f"), Content: []byte("x"), Mode: 0o640, UID: 1234, GID: 4321}
	for _, want := range []bool{true, false} {
		if changed, err := host.EnsureFiles(t.Context(), h, file); err != nil || changed != want {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	info, err := os.Stat(file.Path)
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 1234 || stat.Gid != 4321 || info.Mode().Perm() != 0o640 {
		t.Errorf("owner %d:%d, mode %v", stat.Uid, stat.Gid, info.Mode())
	}
	file.UID, file.GID = 0, 0
	if changed, err := host.EnsureFiles(t.Context(), h, file); err != nil || !changed {
		t.Errorf("back to root: changed %v, %v", changed, err)
	}
}

func TestWriteFileMakesADirectory(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := filepath.Join(t.TempDir(), "x", "y")
	file := withMode(mine(dir, ""), fs.ModeDir|0o700)
	for _, want := range []bool{true, false} {
		if changed, err := host.EnsureFiles(t.Context(), h, file); err != nil || changed != want {
			t.Errorf("changed %v, %v", changed, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("got %v, %v", info, err)
	}
	file.Mode = fs.ModeDir
	if changed, err := host.EnsureFiles(t.Context(), h, file); err != nil || !changed {
		t.Errorf("another mode: changed %v, %v", changed, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|0o755 {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestWriteFileReplacesALinkAndNotWhatItPointsTo(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("keep"), 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	if changed, err := host.EnsureFiles(t.Context(), h, mine(link, "new")); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	content, _ := os.ReadFile(target)
	info, err := os.Lstat(link)
	if err != nil || string(content) != "keep" || !info.Mode().IsRegular() {
		t.Errorf("target holds %q, link is %v, %v", content, info.Mode(), err)
	}
}

func TestWriteFileLeavesNothingWhereItCannotWrite(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "taken"), 0o700),
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]host.File{
		"over a directory":    mine(filepath.Join(dir, "taken"), "x"),
		"below a file":        mine(filepath.Join(dir, "file", "x"), "x"),
		"a relative path":     mine("x", "x"),
		"the root":            mine("/", "x"),
		"a directory instead": withMode(mine(filepath.Join(dir, "file"), ""), fs.ModeDir),
	} {
		if changed, err := host.EnsureFiles(t.Context(), h, file); err == nil || changed {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		}
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestReadersNeverSeeAPartOfAFile(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	path := filepath.Join(t.TempDir(), "f")
	contents := []string{strings.Repeat("a", 100000), strings.Repeat("b", 150000)}
	if _, err := host.EnsureFiles(t.Context(), h, mine(path, contents[0])); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != contents[0] && string(got) != contents[1] {
				t.Errorf("saw %d bytes, %v", len(got), err)
				return
			}
		}
	})
	for i := range 20 {
		if _, err := host.EnsureFiles(t.Context(), h, mine(path, contents[i%2])); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	reader.Wait()
}

func TestWriteFileNeedsFewRoundTrips(t *testing.T) {
	// Not parallel, since it measures time.
	const trip = 100 * time.Millisecond
	h, _ := shellHost(t, hosttest.ServerConfig{Latency: trip})
	dir := t.TempDir()
	if _, err := h.ReadFile(t.Context(), "/proc/version"); err != nil { // opens SFTP
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		content string
		most    int
	}{{"a new file", "one", 6}, {"the same file", "one", 3}, {"a replaced file", "two", 8}} {
		// The best of some, since the machine that runs the test does other
		// things too.
		best := time.Hour
		for i := range 3 {
			begin := time.Now()
			if _, err := host.EnsureFiles(t.Context(), h, mine(filepath.Join(dir, strconv.Itoa(i)), step.content)); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(begin))
		}
		if best >= time.Duration(step.most+1)*trip {
			t.Errorf("%s took %.1f round trips, want at most %d", step.name, float64(best)/float64(trip), step.most)
		}
	}
}

func TestWriteFileSurvivesABrokenLine(t *testing.T) {
	t.Parallel()
	h, s := shellHost(t, hosttest.ServerConfig{Latency: 20 * time.Millisecond})
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if _, err := host.EnsureFiles(t.Context(), h, mine(path, "0")); err != nil {
		t.Fatal(err)
	}
	// Cut at different moments of the seven round trips.
	for i := range 10 {
		content := strings.Repeat("x", i+1)
		if _, err := h.ReadFile(t.Context(), path); err != nil { // The line is up.
			t.Fatal(err)
		}
		cut := time.AfterFunc(time.Duration(i)*15*time.Millisecond, s.Drop)
		changed, err := host.EnsureFiles(t.Context(), h, mine(path, content))
		cut.Stop()
		if err != nil || !changed {
			t.Errorf("cut after %d ms: changed %v, %v", i*15, changed, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("cut after %d ms: the file holds %q, %v", i*15, got, err)
		}
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestFilesGoThroughSudo(t *testing.T) {
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
			if changed, err := host.EnsureFiles(t.Context(), h, mine(path, "x")); err != nil || !changed {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if got, err := h.ReadFile(t.Context(), path); err != nil || string(got) != "x" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestFilesWithoutRightsAreDenied(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO=denied")
	o := optionsFor(s)
	o.User = "bob"
	if _, err := dial(t, o).ReadFile(t.Context(), "/proc/version"); !errors.Is(err, host.ErrSudo) {
		t.Errorf("got %v", err)
	}
}

package ssh_test

import (
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

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

func TestDiffersReturnsTheFilesThatWriteFilesWouldChange(t *testing.T) {
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
		if err := h.WriteFiles(t.Context(), step.file); err != nil {
			t.Errorf("%s: %v", step.name, err)
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

func TestStatReturnsTypeModeAndOwner(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{file: 0o600, link: fs.ModeSymlink | 0o777} {
		got, err := h.Stat(t.Context(), path)
		if err != nil || got.Path != path || got.Mode != mode || got.UID != os.Getuid() || got.GID != os.Getgid() || got.Content != nil {
			t.Errorf("%s: got %+v, %v", path, got, err)
		}
	}
	if _, err := h.Stat(t.Context(), filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want a file that does not exist", err)
	}
}

func TestDiffersReturnsFilesInOrder(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	var files, want []host.File
	for i := range 40 {
		file := mine(filepath.Join(dir, strconv.Itoa(i)), "same")
		files = append(files, file)
		if i%3 == 0 {
			want = append(want, file)
			continue
		}
		if err := os.WriteFile(file.Path, file.Content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.Differs(t.Context(), files...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWriteFilesWritesFilesAndDirectoriesInOrder(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	private := filepath.Join(dir, "private")
	files := []host.File{
		mine(filepath.Join(dir, "before", "a"), "a"),
		withMode(mine(private, ""), fs.ModeDir|0o700),
		mine(filepath.Join(private, "b"), "b"),
		mine(filepath.Join(private, "twice"), "first"),
		mine(filepath.Join(private, "twice"), "second"),
	}
	if err := h.WriteFiles(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(private); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("directory: %v, %v", info, err)
	}
	for path, want := range map[string]string{files[0].Path: "a", files[2].Path: "b", files[4].Path: "second"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestWriteFilesStopsAtTheFirstFileThatItCannotWrite(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.Mkdir(taken, 0o700); err != nil {
		t.Fatal(err)
	}
	err := h.WriteFiles(t.Context(), mine(filepath.Join(dir, "first"), "x"), mine(taken, "x"), mine(filepath.Join(dir, "last"), "x"))
	if err == nil || err.Error() != "n1: write files: "+taken+": is a directory" {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != "first" || entries[1].Name() != "taken" {
		t.Errorf("the directory holds %v, %v; want only the first file in place", entries, err)
	}
}

func withMode(f host.File, mode fs.FileMode) host.File { f.Mode = mode; return f }

func TestWriteFilesSetsTheOwner(t *testing.T) {
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

func TestWriteFilesCreatesADirectory(t *testing.T) {
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

func TestWriteFilesReplacesALinkAndNotItsTarget(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("keep"), 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFiles(t.Context(), mine(link, "new")); err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(target)
	info, err := os.Lstat(link)
	if err != nil || string(content) != "keep" || !info.Mode().IsRegular() {
		t.Errorf("target holds %q, link is %v, %v", content, info.Mode(), err)
	}
}

func TestAFailedWriteFilesLeavesNoTemporaryFiles(t *testing.T) {
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
		if err := h.WriteFiles(t.Context(), file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWriteFilesReplacesFilesAtomically(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	path := filepath.Join(t.TempDir(), "f")
	contents := []string{strings.Repeat("a", 100000), strings.Repeat("b", 150000)}
	if err := h.WriteFiles(t.Context(), mine(path, contents[0])); err != nil {
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
		if err := h.WriteFiles(t.Context(), mine(path, contents[i%2])); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	reader.Wait()
}

func TestFilesNeedFewRoundTrips(t *testing.T) {
	// Not parallel, because it measures time.
	const trip = 100 * time.Millisecond
	h, _ := shellHost(t, hosttest.ServerConfig{Latency: trip})
	if _, err := h.ReadFile(t.Context(), "/proc/version"); err != nil { // opens SFTP
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(files []host.File) error { return h.WriteFiles(t.Context(), files...) }
	compare := func(files []host.File) error {
		differ, err := h.Differs(t.Context(), files...)
		if len(differ) > 0 {
			t.Errorf("%d files differ", len(differ))
		}
		return err
	}
	for _, step := range []struct {
		name  string
		do    func([]host.File) error
		files int
		most  int
	}{
		{"a file is written", write, 1, 4},
		{"eight files are written", write, 8, 11},
		{"a file is compared", compare, 1, 3},
		{"eight files are compared", compare, 8, 3},
	} {
		// Other processes may delay a step.
		const tries = 8
		best, limit := time.Hour, time.Duration(step.most+1)*trip
		for try := 0; try < tries && best >= limit; try++ {
			var files []host.File
			for n := range step.files {
				files = append(files, mine(filepath.Join(dir, strconv.Itoa(n)), "content"))
			}
			begin := time.Now()
			if err := step.do(files); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(begin))
		}
		if best >= limit {
			t.Errorf("%s: %.1f round trips, want at most %d", step.name, float64(best)/float64(trip), step.most)
		}
	}
}

func TestWriteFilesSurvivesALostConnection(t *testing.T) {
	t.Parallel()
	h, s := shellHost(t, hosttest.ServerConfig{Latency: 10 * time.Millisecond})
	dir := t.TempDir()
	// Drop the connection during different round trips.
	for i := range 12 {
		content := strings.Repeat("x", i+1)
		var files []host.File
		for n := range 4 {
			files = append(files, mine(filepath.Join(dir, strconv.Itoa(n)), content))
		}
		if _, err := h.ReadFile(t.Context(), "/proc/version"); err != nil { // connects
			t.Fatal(err)
		}
		drop := time.AfterFunc(time.Duration(i)*8*time.Millisecond, s.Drop)
		err := h.WriteFiles(t.Context(), files...)
		drop.Stop()
		if err != nil {
			t.Errorf("dropped after %d ms: %v", i*8, err)
		}
		for _, file := range files {
			if got, err := os.ReadFile(file.Path); err != nil || string(got) != content {
				t.Errorf("dropped after %d ms: %s holds %q, %v", i*8, file.Path, got, err)
			}
		}
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

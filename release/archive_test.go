package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	someTime = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	contents = []entry{
		{"slipway", 0o755, []byte("a program")},
		{"LICENSE", 0o644, []byte("a license")},
		{"completions/_slipway", 0o644, []byte("a script")},
	}
)

func TestTheSameFilesGiveTheSameArchive(t *testing.T) {
	t.Parallel()
	reversed := slices.Clone(contents)
	slices.Reverse(reversed)
	elsewhere := someTime.In(time.FixedZone("elsewhere", 3600))
	for _, target := range targets {
		one, err := archiveOf(target, "slipway_v1", contents, someTime)
		if err != nil {
			t.Fatal(err)
		}
		other, err := archiveOf(target, "slipway_v1", reversed, elsewhere)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s: the order of files or the time zone changes the archive", target)
		}
		later, err := archiveOf(target, "slipway_v1", contents, someTime.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(one, later) {
			t.Errorf("%s: the archive does not contain the time", target)
		}
	}
}

// listed are the lines that describe an archive in tests.
var listed = []string{
	"slipway_v1/LICENSE -rw-r--r-- 2026-03-14T15:09:26Z a license",
	"slipway_v1/completions/_slipway -rw-r--r-- 2026-03-14T15:09:26Z a script",
	"slipway_v1/slipway -rwxr-xr-x 2026-03-14T15:09:26Z a program",
}

func TestTarGzArchivesUnpackBelowOneDirectory(t *testing.T) {
	t.Parallel()
	archive, err := archiveOf(target{"linux", "arm64"}, "slipway_v1", contents, someTime)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	files := tar.NewReader(unpacked)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s belongs to %d:%d %s", header.Name, header.Uid, header.Gid, header.Uname)
		}
		got = append(got, fmt.Sprint(header.Name, " ", header.FileInfo().Mode(), " ", header.ModTime.UTC().Format(time.RFC3339), " ", string(content)))
	}
	if diff := cmp.Diff(listed, got); diff != "" {
		t.Errorf("archive (+), want (-):\n%s", diff)
	}
}

func TestZipArchivesUnpackBelowOneDirectory(t *testing.T) {
	t.Parallel()
	archive, err := archiveOf(target{"windows", "amd64"}, "slipway_v1", contents, someTime)
	if err != nil {
		t.Fatal(err)
	}
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range files.File {
		opened, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(opened)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(file.Name, " ", file.Mode(), " ", file.Modified.UTC().Format(time.RFC3339), " ", string(content)))
	}
	if diff := cmp.Diff(listed, got); diff != "" {
		t.Errorf("archive (+), want (-):\n%s", diff)
	}
}

func TestSha256sumAcceptsTheChecksums(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dist")
	files := []entry{{"slipway_b.zip", 0o644, []byte("two")}, {"slipway_a.tar.gz", 0o644, []byte("one")}}
	sums := checksums(files)
	const want = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  slipway_a.tar.gz\n" +
		"3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  slipway_b.zip\n"
	if diff := cmp.Diff(want, string(sums)); diff != "" {
		t.Errorf("checksums (+), want (-):\n%s", diff)
	}
	if err := testReleaser(t).write(dir, append(files, entry{"checksums.txt", 0o644, sums})); err != nil {
		t.Fatal(err)
	}
	sha256sum, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("sha256sum is missing")
	}
	command := exec.CommandContext(t.Context(), sha256sum, "--check", "--strict", "checksums.txt")
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

func TestOnlyFilesOfAReleaseAreReplaced(t *testing.T) {
	t.Parallel()
	r, dir := testReleaser(t), t.TempDir()
	old := filepath.Join(dir, "slipway_v0_linux_amd64.tar.gz")
	if err := os.WriteFile(old, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.write(dir, []entry{{"checksums.txt", 0o644, nil}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an archive of the last release remains: %v", err)
	}
	foreign := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(foreign, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.write(dir, nil); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("a directory with other files is replaced: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

func testReleaser(t *testing.T) releaser {
	t.Helper()
	return releaser{version: "v0.1.0", modified: someTime, jobs: 1, report: t.Logf}
}

package workflow

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
)

func TestFilesAreJournaledTogetherAndThenWritten(t *testing.T) {
	t.Parallel()
	s, fake, events := journaled(t)
	fake.Put("/etc/same", "same")
	fake.ExpectRunScript("journal-file.sh", JournalDir, "swap-off", "dir", "/etc/new", "file", "/etc/new/file")
	files := []host.File{
		{Path: "/etc/new", Mode: fs.ModeDir},
		{Path: "/etc/same", Content: []byte("same")},
		{Path: "/etc/new/file", Content: []byte("new")},
	}
	if changed, err := s.WriteFiles(t.Context(), files...); err != nil || !changed {
		t.Errorf("changed %v, %v", changed, err)
	}
	if diff := cmp.Diff([]string{"make folder /etc/new", "write /etc/new/file"}, changes(events)); diff != "" {
		t.Error(diff)
	}
	if changed, err := s.WriteFiles(t.Context(), files...); err != nil || changed {
		t.Errorf("a second time: changed %v, %v", changed, err)
	}
}

func TestUploadsAreJournaledTogetherAndTheirSumsNoted(t *testing.T) {
	t.Parallel()
	s, fake, events := journaled(t)
	fake.ExpectRunScript("journal-file.sh", JournalDir, "swap-off", "file", "/bin/a", "file", "/bin/b")
	fake.ExpectRunScript("sums-add.sh", JournalDir, "aa", "/bin/a", "bb", "/bin/b")
	if err := s.Uploads(t.Context(), host.Blob{Path: "/bin/a", SHA256: "aa"}, host.Blob{Path: "/bin/b", SHA256: "bb"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"upload /bin/a", "upload /bin/b"}, slices.Sorted(slices.Values(changes(events)))); diff != "" {
		t.Error(diff)
	}
	asked := fake.Transcript()
	if first, last := strings.Index(asked, "[journal-file.sh]"), strings.Index(asked, "[sums-add.sh]"); first > strings.Index(asked, "upload ") || last < strings.LastIndex(asked, "upload ") {
		t.Errorf("the journal comes first, the sums come last:\n%s", asked)
	}
}

func TestNoUploadsAreNoRoundTrip(t *testing.T) {
	t.Parallel()
	s, fake, _ := journaled(t)
	if err := s.Uploads(t.Context()); err != nil {
		t.Error(err)
	}
	if changed, err := s.WriteFiles(t.Context()); err != nil || changed {
		t.Errorf("changed %v, %v", changed, err)
	}
	if asked := fake.Transcript(); asked != "" {
		t.Errorf("the machine was asked: %s", asked)
	}
}

// The sum of a file that did not arrive must not be believed.
func TestASumIsNotedOnlyWhenAllHasArrived(t *testing.T) {
	t.Parallel()
	s, fake, _ := journaled(t)
	fake.ExpectRunScript("journal-file.sh", JournalDir, "swap-off", "file", "/bin/a")
	fake.ExpectUpload("/bin/a").Error(host.ErrCorrupt)
	if err := s.Uploads(t.Context(), host.Blob{Path: "/bin/a", SHA256: "aa"}); !errors.Is(err, host.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestAPlanRecordsManyFiles(t *testing.T) {
	t.Parallel()
	r, fake, events := planOf(t)
	fake.Put("/etc/same", "same")
	s := step(r, r.Hosts.All[0], "kernel")
	changed, err := s.WriteFiles(t.Context(), host.File{Path: "/etc/same", Content: []byte("same")}, host.File{Path: "/etc/a"}, host.File{Path: "/etc/b"})
	if err != nil || !changed {
		t.Errorf("changed %v, %v", changed, err)
	}
	if err := s.Uploads(t.Context(), host.Blob{Path: "/bin/a", SHA256: "aa", Size: 5_000_000}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"write /etc/a", "write /etc/b", "upload /bin/a (5.0 MB)"}, changes(events)); diff != "" {
		t.Error(diff)
	}
}

package journal

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// journaled returns a host with a journal in phase swap-off, the fake that it
// wraps, and the recorded changes. The fake expects calls in order.
func journaled(t *testing.T) (host.Host, *hosttest.Fake, *hosttest.Changes) {
	t.Helper()
	fake, changes := hosttest.NewFake(t, "cp"), &hosttest.Changes{}
	fake.InOrder()
	return New(fake, "swap-off", changes), fake, changes
}

// In a bubble of synctest the clock stands still, so that the time is known.
func TestACommandIsAddedToTheJournalBeforeItRuns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		cmd        host.Cmd
		line, same string
		service    []string
		change     string
	}{
		{
			name:   "without an undo, each time",
			cmd:    host.Cmd{Argv: []string{"systemctl", "daemon-reload"}},
			line:   `{"time":"2000-01-01T00:00:00Z","phase":"swap-off","kind":"run","run":"systemctl daemon-reload"}`,
			same:   `{"time":"2000-01-01T00:00:00Z","phase":"swap-off","kind":"run","run":"systemctl daemon-reload"}`,
			change: "run systemctl daemon-reload",
		},
		{
			name:   "with an undo, once",
			cmd:    host.Cmd{Argv: []string{"swapoff", "/dev/sda2"}, Undo: []string{"swapon", "/dev/sda2"}},
			line:   `{"time":"2000-01-01T00:00:00Z","phase":"swap-off","kind":"run","run":"swapoff /dev/sda2","undo":["swapon","/dev/sda2"]}`,
			same:   `"undo":["swapon","/dev/sda2"]`,
			change: "run swapoff /dev/sda2",
		},
		{
			name: "with the service that its undo disables",
			cmd:  host.Cmd{Name: "start.sh", Argv: []string{"sh"}, Undo: []string{"systemctl", "disable", "--now", "iscsid"}},
			line: `{"time":"2000-01-01T00:00:00Z","phase":"swap-off","kind":"run","run":"start.sh","undo":["systemctl","disable","--now","iscsid"]}`,
			same: `"undo":["systemctl","disable","--now","iscsid"]`,
			service: []string{
				"iscsid", `{"time":"2000-01-01T00:00:00Z","phase":"swap-off","kind":"run","run":"start.sh"}`,
			},
			change: "run start.sh",
		},
		{
			name:   "without its secrets",
			cmd:    host.Cmd{Argv: []string{"join", "--token", "abc.def"}, Secret: []string{"abc.def"}},
			line:   `{"time":"2000-01-01T00:00:00Z","phase":"swap-off","kind":"run","run":"join --token \u003csecret\u003e"}`,
			same:   `{"time":"2000-01-01T00:00:00Z","phase":"swap-off","kind":"run","run":"join --token \u003csecret\u003e"}`,
			change: "run join --token <secret>",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, fake, changes := journaled(t)
				test.cmd.Sudo = true
				fake.ExpectRunScript("journal/append.sh", append([]string{Dir, test.line, test.same}, test.service...)...)
				fake.ExpectRun(test.cmd.Argv...).Returns("out")
				res, err := h.Run(t.Context(), test.cmd)
				if err != nil || string(res.Stdout) != "out" {
					t.Errorf("got %q, %v", res.Stdout, err)
				}
				if diff := cmp.Diff([]string{test.change}, changes.Lines()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestFilesAreAddedToTheJournalBeforeTheyAreWritten(t *testing.T) {
	t.Parallel()
	h, fake, changes := journaled(t)
	fake.ExpectRunScript("journal/files.sh", Dir, "swap-off", "dir", "/etc/new", "", "file", "/etc/new/file", fmt.Sprintf("%x", sha256.Sum256([]byte("new"))))
	fake.ExpectWrite("/etc/new")
	fake.ExpectWrite("/etc/new/file")
	files := []host.File{{Path: "/etc/new", Mode: fs.ModeDir}, {Path: "/etc/new/file", Content: []byte("new")}}
	if err := h.WriteFiles(t.Context(), files...); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"create directory /etc/new", "write /etc/new/file"}, changes.Lines()); diff != "" {
		t.Error(diff)
	}
	if changed, err := host.EnsureFiles(t.Context(), h, files...); err != nil || changed {
		t.Errorf("a second time: changed %v, %v", changed, err)
	}
}

func TestUploadsAreAddedBeforeAndTheirChecksumsAfter(t *testing.T) {
	t.Parallel()
	h, fake, changes := journaled(t)
	fake.ExpectRunScript("journal/files.sh", Dir, "swap-off", "file", "/bin/a", "aa", "file", "/bin/b", "bb")
	fake.ExpectUpload("/bin/a")
	fake.ExpectUpload("/bin/b")
	fake.ExpectRunScript("journal/sums-add.sh", Dir, "aa", "/bin/a", "bb", "/bin/b")
	if err := h.Upload(t.Context(), host.Blob{Path: "/bin/a", SHA256: "aa"}, host.Blob{Path: "/bin/b", SHA256: "bb"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"upload /bin/a (0.0 MB)", "upload /bin/b (0.0 MB)"}, changes.Lines()); diff != "" {
		t.Error(diff)
	}
}

func TestFilesGetTheContextsOfSELinux(t *testing.T) {
	t.Parallel()
	h, fake, changes := journaled(t)
	fake.ExpectRunScript("journal/files.sh", Dir, "swap-off", "file", "/opt/cni/bin/a", "aa").Returns("/opt/cni\n/opt/cni/bin\n/opt/cni/bin/a\n")
	fake.ExpectUpload("/opt/cni/bin/a")
	fake.ExpectRun("restorecon", "-i", "/opt/cni", "/opt/cni/bin", "/opt/cni/bin/a")
	fake.ExpectRunScript("journal/sums-add.sh", Dir, "aa", "/opt/cni/bin/a")
	if err := h.Upload(t.Context(), host.Blob{Path: "/opt/cni/bin/a", SHA256: "aa"}); err != nil {
		t.Error(err)
	}
	fake.ExpectRunScript("journal/files.sh", Dir, "swap-off", "file", "/etc/file", fmt.Sprintf("%x", sha256.Sum256(nil))).Returns("/etc/file\n")
	fake.ExpectWrite("/etc/file")
	fake.ExpectRun("restorecon", "-i", "/etc/file")
	if err := h.WriteFiles(t.Context(), host.File{Path: "/etc/file"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"upload /opt/cni/bin/a (0.0 MB)", "write /etc/file"}, changes.Lines()); diff != "" {
		t.Error(diff)
	}
}

func TestAFailedUploadRecordsNoChecksum(t *testing.T) {
	t.Parallel()
	h, fake, _ := journaled(t)
	fake.ExpectRunScript("journal/files.sh", Dir, "swap-off", "file", "/bin/a", "aa")
	fake.ExpectUpload("/bin/a").Error(host.ErrCorrupt)
	if err := h.Upload(t.Context(), host.Blob{Path: "/bin/a", SHA256: "aa"}); !errors.Is(err, host.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsSentForNoFiles(t *testing.T) {
	t.Parallel()
	h, fake, _ := journaled(t)
	if err := errors.Join(h.Upload(t.Context()), h.WriteFiles(t.Context())); err != nil {
		t.Error(err)
	}
	if calls := fake.Transcript(); calls != "" {
		t.Errorf("calls of the host: %s", calls)
	}
}

func TestNothingChangesIfTheJournalCannotBeWritten(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	tests := []struct {
		name string
		do   func(context.Context, host.Host) error
	}{
		{"a command", func(ctx context.Context, h host.Host) error {
			_, err := h.Run(ctx, host.Cmd{Argv: []string{"swapoff"}})
			return err
		}},
		{"a file", func(ctx context.Context, h host.Host) error { return h.WriteFiles(ctx, host.File{Path: "/etc/new"}) }},
		{"an upload", func(ctx context.Context, h host.Host) error { return h.Upload(ctx, host.Blob{Path: "/bin/new"}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake, changes := hosttest.NewFake(t, "cp"), &hosttest.Changes{}
			fake.StrictFiles()
			if err := test.do(t.Context(), New(refusing{Fake: fake, err: full}, "kernel", changes)); !errors.Is(err, full) {
				t.Errorf("got %v, want %v", err, full)
			}
			if got := changes.Lines(); len(got) > 0 {
				t.Errorf("changes are recorded: %v", got)
			}
		})
	}
}

// refusing is a host on which the scripts of the journal fail.
type refusing struct {
	*hosttest.Fake
	err error
}

func (r refusing) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	if strings.HasPrefix(cmd.Name, "journal/") {
		return host.Result{}, r.err
	}
	return r.Fake.Run(ctx, cmd)
}

func TestPathsWithUnsupportedCharactersAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"etc/hosts", "/etc/a b", `/etc/a"b`, `/etc/a\b`, "/etc/", "/etc//hosts", "/etc/a\nb", "/etc/é", ""} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			h, fake, _ := journaled(t)
			fake.StrictFiles()
			if err := h.WriteFiles(t.Context(), host.File{Path: path}); err == nil {
				t.Error("the file is written")
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	line := func(e Entry) string {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	a, b := Entry{Phase: "a", Kind: "file", Path: "/a", Existed: true}, Entry{Phase: "b", Kind: "run", Undo: []string{"x"}}
	tests := []struct {
		name, content string
		want          []Entry
		err           string
	}{
		{"an empty journal", "", nil, ""},
		{"two entries", line(a) + "\n" + line(b) + "\n", []Entry{a, b}, ""},
		{"a truncated line", line(a) + "\n" + line(b)[:20] + "\n" + line(b), []Entry{a, b}, ""},
		{"an entry of another version", line(a) + "\n" + `{"undo":"x"}` + "\n", nil, "cp: journal line 2: "},
		{"a long line", line(Entry{Run: strings.Repeat("x", 100_000)}) + "\n", []Entry{{Run: strings.Repeat("x", 100_000)}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake := hosttest.NewFake(t, "cp")
			fake.Put(Dir+"/entries.jsonl", test.content)
			got, err := Read(t.Context(), fake)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
				t.Errorf("got %v, want %s", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("no journal", func(t *testing.T) {
		t.Parallel()
		if got, err := Read(t.Context(), hosttest.NewFake(t, "cp")); err != nil || got != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestSums(t *testing.T) {
	t.Parallel()
	fake := hosttest.NewFake(t, "cp")
	fake.ExpectQueryScript("journal/sums.sh", Dir, "/a b", "/missing", "/c").Returns("aa  /a b\ncc */c\n")
	got, err := Sums(t.Context(), fake, []string{"/a b", "/missing", "/c"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]Sum{"/a b": {"aa", true}, "/c": {"cc", false}}, got); diff != "" {
		t.Error(diff)
	}
}

package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/report"
)

// journaled makes a step whose machine expects exactly what the test says.
func journaled(t *testing.T) (*Step, *hosttest.Fake, *report.Recorder) {
	t.Helper()
	fake := hosttest.NewFake(t, "cp")
	hosts := hostsOf("cp")
	hosts.All[0].Conn = fake
	r, events := runOf(hosts)
	return step(r, hosts.All[0], "swap-off"), fake, events
}

// In a bubble of synctest the clock stands still, so that entries are known.
func TestTheJournalHasACommandBeforeItRuns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		cmd        host.Cmd
		line, same string
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
				s, fake, events := journaled(t)
				fake.ExpectRunScript("journal-append.sh", JournalDir, test.line, test.same)
				fake.ExpectRun(test.cmd.Argv...).Returns("out")
				res, err := s.Run(t.Context(), test.cmd)
				if err != nil || string(res.Stdout) != "out" {
					t.Errorf("got %q, %v", res.Stdout, err)
				}
				if asked := fake.Transcript(); strings.Index(asked, "journal-append.sh") > strings.LastIndex(asked, "run "+test.cmd.Argv[0]) {
					t.Errorf("the journal comes after the command:\n%s", asked)
				}
				if diff := cmp.Diff([]string{test.change}, changes(events)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestNothingIsDoneThatTheJournalDoesNotHave(t *testing.T) {
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
		{"a file", func(ctx context.Context, h host.Host) error {
			_, err := h.WriteFile(ctx, host.File{Path: "/etc/new"})
			return err
		}},
		{"an upload", func(ctx context.Context, h host.Host) error {
			_, err := h.Upload(ctx, host.Blob{Path: "/bin/new"})
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake := hosttest.NewFake(t, "cp")
			fake.StrictFiles()
			hosts := hostsOf("cp")
			hosts.All[0].Conn = refusing{Fake: fake, err: full}
			r, events := runOf(hosts)
			if err := test.do(t.Context(), step(r, hosts.All[0], "kernel")); !errors.Is(err, full) {
				t.Errorf("got %v, want %v", err, full)
			}
			if got := changes(events); len(got) > 0 {
				t.Errorf("changes are told: %v", got)
			}
		})
	}
}

// refusing is a machine on which scripts of the journal fail.
type refusing struct {
	*hosttest.Fake
	err error
}

func (r refusing) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	if strings.HasPrefix(cmd.Name, "journal-") {
		return host.Result{}, r.err
	}
	return r.Fake.Run(ctx, cmd)
}

func TestTheJournalHasPathsThatChange(t *testing.T) {
	t.Parallel()
	s, fake, events := journaled(t)
	fake.Put("/etc/same", "same")
	fake.Put("/etc/other", "old")
	fake.ExpectRunScript("journal-file.sh", JournalDir, "swap-off", "file", "/etc/other")
	fake.ExpectRunScript("journal-file.sh", JournalDir, "swap-off", "dir", "/etc/new")
	fake.ExpectRunScript("journal-file.sh", JournalDir, "swap-off", "file", "/bin/new")
	fake.ExpectRunScript("sums-add.sh", JournalDir, "aa", "/bin/new")
	for _, file := range []host.File{
		{Path: "/etc/same", Content: []byte("same")},
		{Path: "/etc/other", Content: []byte("new")},
		{Path: "/etc/new", Mode: fs.ModeDir | 0o700},
	} {
		changed, err := s.WriteFile(t.Context(), file)
		if err != nil || changed != (file.Path != "/etc/same") {
			t.Errorf("%s: changed %v, %v", file.Path, changed, err)
		}
	}
	if changed, err := s.Upload(t.Context(), host.Blob{Path: "/bin/new", SHA256: "aa"}); err != nil || !changed {
		t.Errorf("upload: changed %v, %v", changed, err)
	}
	if diff := cmp.Diff([]string{"write /etc/other", "make folder /etc/new", "upload /bin/new"}, changes(events)); diff != "" {
		t.Error(diff)
	}
}

func TestThePathsThatTheJournalCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"etc/hosts", "/etc/a b", `/etc/a"b`, `/etc/a\b`, "/etc/", "/etc//hosts", "/etc/a\nb", "/etc/é", ""} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s, fake, _ := journaled(t)
			fake.StrictFiles()
			if _, err := s.WriteFile(t.Context(), host.File{Path: path}); err == nil {
				t.Error("is written")
			}
		})
	}
}

func TestUnjournaledIsCountedOnly(t *testing.T) {
	t.Parallel()
	s, fake, events := journaled(t)
	fake.ExpectRun("undo")
	if _, err := s.WithoutJournal().Run(t.Context(), host.Cmd{Argv: []string{"undo"}}); err != nil {
		t.Error(err)
	}
	if _, err := s.WithoutJournal().WriteFile(t.Context(), host.File{Path: "/run/x"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"run undo", "write /run/x"}, changes(events)); diff != "" {
		t.Error(diff)
	}
}

func TestReadJournal(t *testing.T) {
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
		{"empty", "", nil, ""},
		{"of two entries", line(a) + "\n" + line(b) + "\n", []Entry{a, b}, ""},
		{"with a line that was cut off", line(a) + "\n" + line(b)[:20] + "\n" + line(b), []Entry{a, b}, ""},
		{"of another version", line(a) + "\n" + `{"undo":"x"}` + "\n", nil, "cp: journal line 2: "},
		{"with a long line", line(Entry{Run: strings.Repeat("x", 100_000)}) + "\n", []Entry{{Run: strings.Repeat("x", 100_000)}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake := hosttest.NewFake(t, "cp")
			fake.Put(JournalDir+"/entries.jsonl", test.content)
			got, err := ReadJournal(t.Context(), fake)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
				t.Errorf("got %v, want %s", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("that is not there", func(t *testing.T) {
		t.Parallel()
		if got, err := ReadJournal(t.Context(), hosttest.NewFake(t, "cp")); err != nil || got != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

package hosttest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/systemd"
)

// recorder is a testing.TB that records failures instead of failing.
type recorder struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, a ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, a...))
}

func (r *recorder) finish() string {
	for _, f := range r.cleanups {
		f()
	}
	return strings.Join(r.errors, "\n")
}

func TestFakeIsStrict(t *testing.T) {
	t.Parallel()
	run := func(h host.Host, argv ...string) { _, _ = h.Run(t.Context(), host.Cmd{Argv: argv, Sudo: true}) }
	for name, test := range map[string]struct {
		do   func(*hosttest.Fake)
		want string // part of the failure; empty: the test passes
	}{
		"an expected call": {func(f *hosttest.Fake) {
			f.ExpectRun("a", "b")
			run(f, "a", "b")
		}, ""},
		"a call with other arguments": {func(f *hosttest.Fake) {
			f.ExpectRun("a").AnyTimes()
			run(f, "a", "b")
		}, "unexpected: run a b"},
		"a Run instead of a Query": {func(f *hosttest.Fake) {
			f.ExpectQuery("a").AnyTimes()
			run(f, "a")
		}, "unexpected: run a"},
		"one call too many": {func(f *hosttest.Fake) {
			f.ExpectRun("a")
			run(f, "a")
			run(f, "a")
		}, "unexpected: run a"},
		"a missing call":   {func(f *hosttest.Fake) { f.ExpectRun("a") }, "happened 0 times: run a"},
		"one call too few": {func(f *hosttest.Fake) { f.ExpectRun("a").Times(2); run(f, "a") }, "happened 1 times"},
		"an optional call": {func(f *hosttest.Fake) { f.ExpectRun("a").AnyTimes() }, ""},
		"another standard input": {func(f *hosttest.Fake) {
			f.ExpectRun("a").Stdin("x").AnyTimes()
			_, _ = f.Run(t.Context(), host.Cmd{Argv: []string{"a"}, Sudo: true, Stdin: strings.NewReader("y")})
		}, "unexpected: run a"},
		"another script with the same arguments": {func(f *hosttest.Fake) {
			f.ExpectRunScript("one", "x").AnyTimes()
			_, _ = f.Run(t.Context(), host.Script("two", nil, "x"))
		}, "unexpected: run two x"},
		"root runs a command of the user": {func(f *hosttest.Fake) {
			f.ExpectRun("a").AsUser().AnyTimes()
			run(f, "a")
		}, "unexpected: run a"},
		"the user runs a command of root": {func(f *hosttest.Fake) {
			f.ExpectRun("a").AnyTimes()
			_, _ = f.Run(t.Context(), host.Cmd{Argv: []string{"a"}})
		}, "unexpected: run as user a"},
		"an unexpected order": {func(f *hosttest.Fake) {
			f.InOrder()
			f.ExpectRun("a")
			f.ExpectRun("b")
			run(f, "b")
			run(f, "a")
		}, "unexpected: run b"},
		"the expected order": {func(f *hosttest.Fake) {
			f.InOrder()
			f.ExpectQuery("any").AnyTimes()
			f.ExpectRun("a")
			f.ExpectRun("b")
			run(f, "a")
			run(f, "b")
		}, ""},
		"an unexpected file": {func(f *hosttest.Fake) {
			f.StrictFiles()
			_ = f.WriteFiles(t.Context(), host.File{Path: "/f"})
		}, "unexpected: write /f"},
		"a missing file": {func(f *hosttest.Fake) { f.ExpectWrite("/f") }, "write /f"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			test.do(hosttest.NewFake(r, "n1"))
			got := r.finish()
			if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("want a failure with %q, got %q", test.want, got)
			}
		})
	}
}

func TestFakeReturnsWhatItIsSetUpToReturn(t *testing.T) {
	t.Parallel()
	f := hosttest.NewFake(t, "n1")
	broken := errors.New("broken")
	f.ExpectQuery("uname").AsUser().Returns("Linux\n")
	f.ExpectRun("fail", "s3").AsUser().Fails(3, "no s3\n")
	f.ExpectRun("lost").AsUser().Error(broken)
	f.ExpectRun("make").AsUser().Then(func() { f.Put("/made", "x") })

	if result, err := f.Query(t.Context(), host.Cmd{Argv: []string{"uname"}}); err != nil || string(result.Stdout) != "Linux\n" {
		t.Errorf("got %q, %v", result.Stdout, err)
	}
	var exit *host.ExitError
	_, err := f.Run(t.Context(), host.Cmd{Argv: []string{"fail", "s3"}, Secret: []string{"s3"}})
	if !errors.As(err, &exit) || exit.Code != 3 || exit.Stderr != "no <secret>\n" || exit.Command != "fail <secret>" {
		t.Errorf("got %v", err)
	}
	if _, err := f.Run(t.Context(), host.Cmd{Argv: []string{"lost"}}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Run(t.Context(), host.Cmd{Argv: []string{"make"}}); err != nil {
		t.Error(err)
	}
	if content, err := f.ReadFile(t.Context(), "/made"); err != nil || string(content) != "x" {
		t.Errorf("got %q, %v", content, err)
	}
	want := "query as user uname\nrun as user fail <secret>\nrun as user lost\nrun as user make\nread /made\n"
	if diff := cmp.Diff(want, f.Transcript()); diff != "" {
		t.Error(diff)
	}
}

func TestFakeKeepsFiles(t *testing.T) {
	t.Parallel()
	f := hosttest.NewFake(t, "n1")
	file := host.File{Path: "/etc/x", Content: []byte("one")}
	for i, step := range []struct {
		file    host.File
		changed bool
	}{{file, true}, {file, false}, {host.File{Path: "/etc/x", Content: []byte("one"), Mode: 0o600}, true}} {
		if changed, err := host.EnsureFiles(t.Context(), f, step.file); err != nil || changed != step.changed {
			t.Errorf("step %d: changed %v, %v", i, changed, err)
		}
	}
	blob := host.Blob{Path: "/usr/bin/b", SHA256: strings.Repeat("a", 64), Size: 5, Mode: 0o755}
	if err := f.Upload(t.Context(), blob); err != nil {
		t.Error(err)
	}
	if sum, none := f.Sum("/usr/bin/b"), f.Sum("/none"); sum != blob.SHA256 || none != "" {
		t.Errorf("sums %q and %q", sum, none)
	}
	if diff := cmp.Diff([]string{"/etc/x", "/usr/bin/b"}, f.Paths()); diff != "" {
		t.Error(diff)
	}
	f.Remove("/etc")
	if _, err := f.ReadFile(t.Context(), "/etc/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	want := `write /etc/x -rw-r--r-- 0:0, 3 bytes
write /etc/x -rw------- 0:0, 3 bytes
upload /usr/bin/b -rwxr-xr-x 5 bytes
read /etc/x
`
	if diff := cmp.Diff(want, f.Transcript()); diff != "" {
		t.Error(diff)
	}
}

func TestFakeRunsUnits(t *testing.T) {
	t.Parallel()
	f := hosttest.NewFake(t, "n1")
	f.ExpectUnit("init", "kubeadm", "init").Returns("done\n")
	f.ExpectUnitTimeout("join", 90, "kubeadm", "join").Returns("one\ntwo\n").FailsUnit(4)
	result, err := systemd.Run(t.Context(), f, systemd.Unit{Name: "init", Argv: []string{"kubeadm", "init"}})
	if err != nil || string(result.Stdout) != "done\n" {
		t.Errorf("got %q, %v", result.Stdout, err)
	}
	_, err = systemd.Run(t.Context(), f, systemd.Unit{Name: "join", Argv: []string{"kubeadm", "join"}, Timeout: 90e9})
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code != 4 || exit.Command != "kubeadm join" || exit.Stderr != "one\ntwo" {
		t.Errorf("got %v", err)
	}
}

package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/systemd"
)

func sh(script string, args ...string) []string {
	return append([]string{"sh", "-c", script, "sh"}, args...)
}

func TestUnitReturnsTheOutputOfItsCommand(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	var log strings.Builder
	result, err := m.run(t, systemd.Unit{Name: "init", Argv: sh("echo out; echo err >&2"), Output: &log})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{string(result.Stdout), log.String()} {
		if diff := cmp.Diff("out\nerr\n", got); diff != "" {
			t.Error(diff)
		}
	}
	kept, err := os.ReadFile(filepath.Join(m.dir, "init", "log"))
	if err != nil || string(kept) != "out\nerr\n" {
		t.Errorf("the host keeps %q, %v", kept, err)
	}
}

func TestUnitPassesArgumentsUnchanged(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	words := []string{"$HOME", "a b", "", "it's", "new\nline", "%n", `\n`, "*"}
	result, err := m.run(t, systemd.Unit{Name: "words", Argv: append([]string{"printf", "%s|"}, words...)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Join(words, "|")+"|", string(result.Stdout)); diff != "" {
		t.Error(diff)
	}
}

func TestAFailedUnitReportsItsCommandAndTheEndOfItsLog(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	_, err := m.run(t, systemd.Unit{
		Name: "fail", Argv: sh("i=0; while [ $i -lt 50 ]; do echo line $i; i=$((i+1)); done; exit 7", "s3cret"),
		Secret: []string{"s3cret"},
	})
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("want an ExitError, got %v", err)
	}
	if exit.Code != 7 || !strings.HasPrefix(exit.Command, "sh -c ") || !strings.HasSuffix(exit.Command, " "+host.Redacted) {
		t.Errorf("code %d, command %q", exit.Code, exit.Command)
	}
	if !strings.HasPrefix(exit.Stderr, "line 30\n") || !strings.HasSuffix(exit.Stderr, "line 49") {
		t.Errorf("stderr is not the last 20 lines of the log: %q", exit.Stderr)
	}
}

func TestAKilledUnitReportsTheResultOfSystemd(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	const script = `echo begin; kill -9 $(ps -o ppid= -p $$) $$`
	_, err := m.run(t, systemd.Unit{Name: "killed", Argv: sh(script)})
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("want an ExitError, got %v", err)
	}
	if exit.Stderr != "begin\nslipway-killed was stopped: oom-kill" || exit.Code != 255 || !strings.Contains(exit.Command, script) {
		t.Errorf("want the log and systemd's result in the error, got %+v", exit)
	}
}

func TestUnitPassesItsTimeoutToSystemd(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	if _, err := m.run(t, systemd.Unit{Name: "limit", Argv: []string{"true"}, Timeout: 1500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	options, err := os.ReadFile(filepath.Join(m.systemd, "options"))
	if err != nil || !strings.Contains(string(options), "--property=RuntimeMaxSec=2\n") {
		t.Errorf("options %s, %v", options, err)
	}
}

func TestARunningUnitIsFollowed(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	flag := filepath.Join(t.TempDir(), "flag")
	u := systemd.Unit{Name: "once", Argv: sh(`echo begin; while ! [ -e "$1" ]; do sleep 0.05; done; echo end`, flag)}
	type outcome struct {
		result host.Result
		err    error
	}
	outcomes, following := make(chan outcome, 2), make(chan struct{}, 10)
	for range 2 {
		u := u
		u.Output = writerFunc(func([]byte) { following <- struct{}{} })
		go func() {
			result, err := m.run(t, u)
			outcomes <- outcome{result, err}
		}()
	}
	for range 2 { // Both have printed the beginning.
		<-following
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if o := <-outcomes; o.err != nil || string(o.result.Stdout) != "begin\nend\n" {
			t.Errorf("got %q, %v", o.result.Stdout, o.err)
		}
	}
	if n := m.starts(t); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// A run that was interrupted left its unit running. The next run wants something else.
func TestARunningUnitThatDiffersIsReplaced(t *testing.T) {
	t.Parallel()
	const wait = `echo "$1"; while ! [ -e "$2" ]; do sleep 0.05; done; cat "$2"`
	for name, test := range map[string]struct {
		before, after func(file string) systemd.Unit
	}{
		"another input": {
			func(file string) systemd.Unit { return systemd.Unit{Argv: sh(wait, "x", file), Input: "old"} },
			func(file string) systemd.Unit { return systemd.Unit{Argv: sh(wait, "x", file), Input: "new"} },
		},
		"another command": {
			func(file string) systemd.Unit { return systemd.Unit{Argv: sh(wait, "old", file)} },
			func(file string) systemd.Unit { return systemd.Unit{Argv: sh(wait, "x", file)} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newUnitHost(t)
			file := filepath.Join(t.TempDir(), "file")
			ctx, interrupt := context.WithCancel(t.Context())
			old := test.before(file)
			old.Name, old.Output = "x", writerFunc(func([]byte) { interrupt() })
			if _, err := systemd.RunIn(ctx, m, old, m.dir); err == nil {
				t.Fatal("the first unit ended")
			}
			next := test.after(file)
			next.Name, next.Output = "x", writerFunc(func([]byte) {
				if err := os.WriteFile(file, []byte("done"), 0o600); err != nil {
					t.Error(err)
				}
			})
			result, err := m.run(t, next)
			if err != nil || string(result.Stdout) != "x\ndone" {
				t.Errorf("got %q, %v", result.Stdout, err)
			}
			if n := m.starts(t); n != 2 {
				t.Errorf("started %d times, want 2", n)
			}
		})
	}
}

func TestUnitSyncsWhatItsCommandWrites(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sync string // of coreutils
		code int
	}{
		"on disk":       {`echo "$@" >>"$SYNCED"`, 0},
		"a broken disk": {`echo "sync: error syncing: Input/output error"; exit 1`, 74},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newUnitHost(t)
			dir, synced := t.TempDir(), filepath.Join(t.TempDir(), "synced")
			programs := hosttest.Programs(t, map[string]string{"sync": test.sync, "systemd-run": fakeSystemdRun, "systemctl": fakeSystemctl})
			m.Env = append(m.Env, programs, "SYNCED="+synced)
			_, err := m.run(t, systemd.Unit{Name: "x", Argv: []string{"true"}, Sync: []string{dir, dir + "/missing"}})
			var exit *host.ExitError
			if test.code == 0 && err != nil || test.code != 0 && (!errors.As(err, &exit) || exit.Code != test.code) {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(synced)
			if test.code == 0 && string(got) != "-f "+dir+"\n" {
				t.Errorf("synced %q", got)
			}
		})
	}
}

func TestInputsDifferInEachFile(t *testing.T) {
	t.Parallel()
	one := systemd.InputOf([]byte("ab"), []byte("c"))
	if other := systemd.InputOf([]byte("a"), []byte("bc")); one == other {
		t.Error("the boundary between the files does not count")
	}
	if same := systemd.InputOf([]byte("ab"), []byte("c")); one != same {
		t.Errorf("%s and %s", one, same)
	}
}

func TestALaterCallStartsTheUnitAgain(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	for range 2 {
		if _, err := m.run(t, systemd.Unit{Name: "again", Argv: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.starts(t); n != 2 {
		t.Errorf("started %d times, want 2", n)
	}
}

func TestUnitIsFollowedAgainAfterALostConnection(t *testing.T) {
	t.Parallel()
	lost := fmt.Errorf("local: %w", host.ErrOutcomeUnknown)
	for name, test := range map[string]struct {
		// cut runs the command until the connection is lost.
		cut func(m *unitHost, ctx context.Context, cmd host.Cmd) error
	}{
		"while it ran": {func(m *unitHost, ctx context.Context, cmd host.Cmd) error {
			ctx, cancel := context.WithCancel(ctx)
			output := cmd.Output
			cmd.Output = writerFunc(func(p []byte) {
				_, _ = output.Write(p)
				cancel()
			})
			_, _ = m.Local.Run(ctx, cmd)
			return lost
		}},
		"after it had ended": {func(m *unitHost, ctx context.Context, cmd host.Cmd) error {
			_, _ = m.Local.Run(ctx, cmd)
			return lost
		}},
		"before it was started": {func(*unitHost, context.Context, host.Cmd) error { return lost }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newUnitHost(t)
			m.intercept = func(ctx context.Context, n int, cmd host.Cmd) (host.Result, error, bool) {
				switch n {
				case 1:
					return host.Result{}, test.cut(m, ctx, cmd), true
				case 2:
					return host.Result{}, fmt.Errorf("local: %w", host.ErrUnreachable), true
				default:
					return host.Result{}, nil, false
				}
			}
			var log strings.Builder
			result, err := m.run(t, systemd.Unit{Name: "drop", Argv: sh("echo a; sleep 0.5; echo b"), Output: &log})
			if err != nil {
				t.Fatal(err)
			}
			if string(result.Stdout) != "a\nb\n" || log.String() != "a\nb\n" {
				t.Errorf("result %q, streamed %q", result.Stdout, log.String())
			}
			if n := m.starts(t); n != 1 {
				t.Errorf("started %d times", n)
			}
			if len(m.runs) != 3 || m.runs[0] != "0" || m.runs[2] == "0" {
				t.Errorf("ages %q", m.runs)
			}
		})
	}
}

func TestUnitIgnoresTheResultOfAnotherCommand(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	if _, err := m.run(t, systemd.Unit{Name: "old", Argv: []string{"echo", "first"}}); err != nil {
		t.Fatal(err)
	}
	m.intercept = func(_ context.Context, n int, _ host.Cmd) (host.Result, error, bool) {
		return host.Result{}, fmt.Errorf("local: %w", host.ErrOutcomeUnknown), n == 2
	}
	// Another command under the same name. The connection is lost at its start.
	result, err := m.run(t, systemd.Unit{Name: "old", Argv: []string{"echo", "second"}})
	if err != nil || string(result.Stdout) != "second\n" {
		t.Errorf("got %q, %v", result.Stdout, err)
	}
}

func TestUnitIgnoresAnOlderResultOfTheSameCommand(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	u := systemd.Unit{Name: "old", Argv: []string{"echo", "x"}}
	if _, err := m.run(t, u); err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Skip("not Linux")
	}
	started := strings.TrimSpace(string(boot)) + " -3600\n" // an hour before boot
	if err := os.WriteFile(filepath.Join(m.dir, "old", "started"), []byte(started), 0o600); err != nil {
		t.Fatal(err)
	}
	m.intercept = func(_ context.Context, n int, _ host.Cmd) (host.Result, error, bool) {
		return host.Result{}, fmt.Errorf("local: %w", host.ErrOutcomeUnknown), n == 2
	}
	if _, err := m.run(t, u); err != nil {
		t.Fatal(err)
	}
	if n := m.starts(t); n != 2 {
		t.Errorf("started %d times, want 2", n)
	}
}

func TestUnitIsNotRetriedOnAnUnreachableHost(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	m.intercept = func(context.Context, int, host.Cmd) (host.Result, error, bool) {
		return host.Result{}, fmt.Errorf("local: %w", host.ErrUnreachable), true
	}
	_, err := m.run(t, systemd.Unit{Name: "far", Argv: []string{"true"}})
	if !errors.Is(err, host.ErrUnreachable) || len(m.runs) != 1 {
		t.Errorf("%d runs, %v", len(m.runs), err)
	}
}

func TestUnitIsNotRetriedAfterItsContextEnds(t *testing.T) {
	t.Parallel()
	m := newUnitHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	m.intercept = func(context.Context, int, host.Cmd) (host.Result, error, bool) {
		cancel()
		return host.Result{}, fmt.Errorf("local: %w", host.ErrOutcomeUnknown), true
	}
	_, err := systemd.RunIn(ctx, m, systemd.Unit{Name: "ctx", Argv: []string{"true"}}, m.dir)
	if err == nil || len(m.runs) != 1 {
		t.Errorf("%d runs, %v", len(m.runs), err)
	}
}

func TestUnitNameMustFitSystemd(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "../x", "A", "a b", "-x", "x@y"} {
		m := newUnitHost(t)
		if _, err := m.run(t, systemd.Unit{Name: name, Argv: []string{"true"}}); err == nil || len(m.runs) > 0 {
			t.Errorf("%q: %v", name, err)
		}
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

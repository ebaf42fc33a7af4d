package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

func TestQueryPassesInputAndReturnsOutput(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	result, err := h.Query(t.Context(), host.Cmd{
		Argv:  []string{"sh", "-c", `cat; printf '%s|' "$@" "$LC_ALL"; echo err >&2`, "sh", "a b", "$HOME", "it's"},
		Stdin: strings.NewReader("input "),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("input a b|$HOME|it's|C|", string(result.Stdout)); diff != "" {
		t.Error(diff)
	}
	if string(result.Stderr) != "err\n" {
		t.Errorf("stderr %q", result.Stderr)
	}
}

func TestACommandMayEndBeforeItsInput(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	input, keep := io.Pipe()
	defer func() { _ = keep.Close() }()
	if _, err := h.Query(within(t, 10*time.Second), host.Cmd{Argv: []string{"true"}, Stdin: input}); err != nil {
		t.Error(err)
	}
}

func TestACommandWithoutInputReadsAnEmptyOne(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	if _, err := h.Query(within(t, 10*time.Second), host.Cmd{Argv: []string{"cat"}}); err != nil {
		t.Error(err)
	}
}

func TestAFailedCommandIsReportedWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	_, err := h.Run(t.Context(), host.Cmd{
		Argv:   []string{"sh", "-c", `echo "out $1"; echo "err $1" >&2; exit 3`, "sh", "hunter2"},
		Secret: []string{"hunter2"},
	})
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("want an ExitError, got %v", err)
	}
	want := &host.ExitError{
		Host: "n1", Code: 3, Stdout: "out <secret>\n", Stderr: "err <secret>\n",
		Command: `sh -c 'echo "out $1"; echo "err $1" >&2; exit 3' sh <secret>`,
	}
	if diff := cmp.Diff(want, exit); diff != "" {
		t.Error(diff)
	}
}

func TestASignalThatEndsACommandIsReported(t *testing.T) {
	t.Parallel()
	s := hosttest.NewServer(t, hosttest.ServerConfig{Exec: func(_ context.Context, e hosttest.Exec) int {
		e.Begin()
		return -1
	}})
	_, err := dial(t, optionsFor(s)).Run(t.Context(), hello)
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Signal != "KILL" || exit.Code != -1 {
		t.Errorf("got %v", err)
	}
}

func TestAnInvalidCommandIsNotSent(t *testing.T) {
	t.Parallel()
	h, s := shellHost(t, hosttest.ServerConfig{})
	for _, argv := range [][]string{nil, {""}, {"echo", "a\x00b"}} {
		if _, err := h.Run(t.Context(), host.Cmd{Argv: argv}); err == nil {
			t.Errorf("%q: no error", argv)
		}
	}
	if s.MostSessions() != 0 {
		t.Error("a session was opened")
	}
}

func TestOutputIsStreamedWithoutSecrets(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	flag := filepath.Join(t.TempDir(), "go")
	lines := make(chan string, 10)
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(t.Context(), host.Cmd{
			Argv:   []string{"sh", "-c", `echo "token $2"; while ! [ -e "$1" ]; do sleep 0.02; done; printf 'last line'`, "sh", flag, "abc123"},
			Secret: []string{"abc123"},
			Output: writerFunc(func(p []byte) { lines <- string(p) }),
		})
		done <- err
	}()
	if line := <-lines; line != "token <secret>\n" {
		t.Errorf("streamed %q", line)
	}
	if _, err := h.Run(t.Context(), host.Cmd{Argv: []string{"touch", flag}}); err != nil {
		t.Fatal(err)
	}
	if line := <-lines; line != "last line" {
		t.Errorf("streamed %q", line)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLargeInputAndOutputAreComplete(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	large := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // 4 MiB
	result, err := h.Query(t.Context(), host.Cmd{Argv: []string{"cat"}, Stdin: bytes.NewReader(large)})
	if err != nil || !bytes.Equal(result.Stdout, large) {
		t.Errorf("got %d bytes of %d, %v", len(result.Stdout), len(large), err)
	}
}

func TestACommandAndItsChildrenStopWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	for name, sessions := range map[string]int{"with sessions to spare": 0, "with MaxSessions 1": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := optionsFor(shellServer(t, hosttest.ServerConfig{MaxSessions: sessions}))
			o.Timeouts.Stop = 4 * time.Second
			h := dial(t, o)
			seconds := fmt.Sprintf("9%d.%d", time.Now().UnixNano()%1e6, sessions)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := h.Run(ctx, host.Script("sleep", []byte(`sleep "$1"; sleep "$1"`), seconds))
				done <- err
			}()
			waitUntil(t, "sleep runs", func() bool { return processes(t, "sleep\x00"+seconds) == 1 })
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if n := processes(t, seconds); n != 0 {
				t.Errorf("%d processes left", n)
			}
			// The connection is still usable.
			if _, err := h.Query(within(t, 10*time.Second), hello); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestACommandThatIgnoresSIGTERMIsKilled(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	seconds := fmt.Sprintf("8%d", time.Now().UnixNano()%1e6)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, host.Script("stubborn", []byte(`trap '' TERM; sleep "$1" & wait; wait; sleep "$1"`), seconds))
		done <- err
	}()
	waitUntil(t, "sleep runs", func() bool { return processes(t, "sleep\x00"+seconds) == 1 })
	cancel()
	<-done
	if n := processes(t, seconds); n != 0 {
		t.Errorf("%d processes left", n)
	}
}

func TestRootDoesNotUseSudo(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO=denied")
	if _, err := dial(t, optionsFor(s)).Run(t.Context(), host.Cmd{Argv: []string{"true"}, Sudo: true}); err != nil {
		t.Error(err)
	}
}

func TestSudo(t *testing.T) {
	t.Parallel()
	password := func(p string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return p, nil }
	}
	for name, test := range map[string]struct {
		sudo     string
		password func(context.Context) (string, error)
		denied   string // part of the error; empty: it works
	}{
		"without a password":                         {sudo: "free"},
		"with the password":                          {sudo: "it's $ecret", password: password("it's $ecret")},
		"with a password that sudo does not ask for": {sudo: "free", password: password("x")},
		"with a wrong password":                      {sudo: "right", password: password("wrong"), denied: "incorrect password"},
		"without the password":                       {sudo: "right", denied: "a password is required"},
		"not allowed":                                {sudo: "denied", password: password("pw"), denied: "is not allowed to execute"},
		"with a newline in the password":             {sudo: "right", password: password("a\nb"), denied: "newline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "log")
			s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO="+test.sudo, "FAKE_SUDO_LOG="+log)
			o := optionsFor(s)
			o.User, o.SudoPassword = "bob", test.password
			h := dial(t, o)
			for range 2 {
				result, err := h.Run(t.Context(), host.Script("id", []byte(`echo "root: $FAKE_ROOT $1"; cat`), "x"))
				if test.denied == "" {
					if err != nil || string(result.Stdout) != "root: yes x\n" {
						t.Fatalf("got %q, %v", result.Stdout, err)
					}
					continue
				}
				if !errors.Is(err, host.ErrSudo) || !strings.Contains(err.Error(), test.denied) {
					t.Fatalf("got %v", err)
				}
			}
			if test.denied == "" {
				return
			}
			// A wrong password is not sent twice, and other commands still work.
			result, err := h.Query(t.Context(), host.Cmd{Argv: []string{"sh", "-c", `cat "$0" 2>/dev/null || true`, log}})
			if err != nil || strings.Count(string(result.Stdout), "asked") > 1 {
				t.Errorf("asked %q, %v", result.Stdout, err)
			}
		})
	}
}

func TestParallelCommandsAskForTheSudoPasswordOnce(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO=pw", "FAKE_SUDO_LOG=/dev/null")
	o := optionsFor(s)
	o.User = "bob"
	var mu sync.Mutex
	asked := 0
	o.SudoPassword = func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return "pw", nil
	}
	h := dial(t, o)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if _, err := h.Run(t.Context(), host.Cmd{Argv: []string{"true"}, Sudo: true}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestAFailedCommandUnderSudoIsNotDenied(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO=free")
	o := optionsFor(s)
	o.User = "bob"
	_, err := dial(t, o).Run(t.Context(), host.Cmd{Argv: []string{"sh", "-c", "echo no >&2; exit 1"}, Sudo: true})
	var exit *host.ExitError
	if !errors.As(err, &exit) || errors.Is(err, host.ErrSudo) || !strings.HasPrefix(exit.Command, "sh ") {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestInputIsNotReadAfterTheCommandHasEnded(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	input := bytes.NewReader(make([]byte, 8<<20)) // more than a session's window
	for range 20 {
		if _, err := h.Query(t.Context(), host.Cmd{Argv: []string{"true"}, Stdin: input}); err != nil {
			t.Fatal(err)
		}
		// The race detector reports a reader that has not stopped.
		if _, err := input.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
}

package ssh_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// dropping is a server that drops the connection during the first commands.
type dropping struct {
	server *hosttest.Server
	drops  atomic.Int64 // the number of connections still to drop
	ran    atomic.Int64
	run    func(context.Context, hosttest.Exec) int
}

func newDropping(t *testing.T, drops int64) *dropping {
	t.Helper()
	d := &dropping{run: hosttest.Shell("")}
	d.drops.Store(drops)
	d.server = hosttest.NewServer(t, hosttest.ServerConfig{
		SFTP: true,
		Exec: func(ctx context.Context, e hosttest.Exec) int {
			d.ran.Add(1)
			if d.drops.Add(-1) >= 0 {
				d.server.Drop()
				<-ctx.Done()
				return 1
			}
			return d.run(ctx, e)
		},
	})
	return d
}

func TestQueryIsRepeatedOnceWhenTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	d := newDropping(t, 1)
	h := dial(t, optionsFor(d.server))
	result, err := h.Query(t.Context(), host.Cmd{Argv: []string{"cat"}, Stdin: strings.NewReader("again")})
	if err != nil || string(result.Stdout) != "again" {
		t.Errorf("got %q, %v", result.Stdout, err)
	}
	if d.ran.Load() != 2 || d.server.Connections() != 2 {
		t.Errorf("%d commands, %d connections", d.ran.Load(), d.server.Connections())
	}
}

func TestQueryIsUnreachableWhenTheConnectionIsLostTwice(t *testing.T) {
	t.Parallel()
	d := newDropping(t, 2)
	if _, err := dial(t, optionsFor(d.server)).Query(t.Context(), hello); !errors.Is(err, host.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if d.ran.Load() != 2 {
		t.Errorf("%d commands", d.ran.Load())
	}
}

func TestQueryIsNotRepeatedWithoutItsInput(t *testing.T) {
	t.Parallel()
	d := newDropping(t, 1)
	h := dial(t, optionsFor(d.server))
	_, err := h.Query(t.Context(), host.Cmd{Argv: []string{"cat"}, Stdin: io.MultiReader(strings.NewReader("x"))})
	if !errors.Is(err, host.ErrUnreachable) || d.ran.Load() != 1 {
		t.Errorf("%d commands, %v", d.ran.Load(), err)
	}
}

func TestRunIsNeverStartedTwice(t *testing.T) {
	t.Parallel()
	d := newDropping(t, 1)
	h := dial(t, optionsFor(d.server))
	_, err := h.Run(t.Context(), hello)
	if !errors.Is(err, host.ErrOutcomeUnknown) || d.ran.Load() != 1 {
		t.Errorf("%d commands, %v", d.ran.Load(), err)
	}
	// The next call connects again.
	if _, err := h.Run(t.Context(), hello); err != nil || d.server.Connections() != 2 {
		t.Errorf("%d connections, %v", d.server.Connections(), err)
	}
}

func TestRunReconnectsWhenTheConnectionWasLostBefore(t *testing.T) {
	t.Parallel()
	h, s := shellHost(t, hosttest.ServerConfig{})
	for range 3 {
		s.Drop()
		if _, err := h.Run(t.Context(), hello); err != nil {
			t.Fatal(err)
		}
	}
	if s.Connections() != 4 {
		t.Errorf("%d connections", s.Connections())
	}
}

func TestManyCallsShareOneNewConnection(t *testing.T) {
	t.Parallel()
	h, s := shellHost(t, hosttest.ServerConfig{})
	s.Drop()
	waitUntil(t, "the lost connection is noticed", func() bool {
		_, err := h.Query(t.Context(), hello)
		return err == nil
	})
	before := s.Connections()
	s.Drop()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := h.Query(t.Context(), hello); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.Connections() - before; n != 1 {
		t.Errorf("%d new connections", n)
	}
}

func TestKeepaliveEndsCallsOfAFrozenHost(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call func(context.Context, host.Host) error
		want error
	}{
		"Run": {func(ctx context.Context, h host.Host) error {
			_, err := h.Run(ctx, host.Cmd{Argv: []string{"sleep", "30"}})
			return err
		}, host.ErrOutcomeUnknown},
		"Query": {func(ctx context.Context, h host.Host) error {
			_, err := h.Query(ctx, host.Cmd{Argv: []string{"sleep", "30"}})
			return err
		}, host.ErrUnreachable},
		"ReadFile": {func(ctx context.Context, h host.Host) error {
			_, err := h.ReadFile(ctx, "/proc/version")
			return err
		}, host.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shellServer(t, hosttest.ServerConfig{})
			o := optionsFor(s)
			o.Timeouts.KeepaliveInterval = 100 * time.Millisecond
			o.Timeouts.KeepaliveReply = 500 * time.Millisecond
			o.Timeouts.Connect = 1500 * time.Millisecond
			h := dial(t, o)
			if _, err := h.ReadFile(t.Context(), "/proc/version"); err != nil { // opens SFTP
				t.Fatal(err)
			}
			begin := time.Now()
			done := make(chan error, 1)
			go func() { done <- test.call(within(t, 20*time.Second), h) }()
			if name == "ReadFile" {
				s.Freeze()
			} else {
				waitUntil(t, "the command runs", func() bool { return s.Sessions() == 2 })
				s.Freeze()
			}
			err := <-done
			if !errors.Is(err, test.want) || time.Since(begin) > 15*time.Second {
				t.Errorf("after %s: %v", time.Since(begin), err)
			}
		})
	}
}

func TestKeepaliveDoesNotDisturbAQuietCommand(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{})
	o := optionsFor(s)
	o.Timeouts.KeepaliveInterval, o.Timeouts.KeepaliveReply = 20*time.Millisecond, 2*time.Second
	if _, err := dial(t, o).Run(t.Context(), host.Cmd{Argv: []string{"sleep", "0.5"}}); err != nil {
		t.Error(err)
	}
}

func TestACommandSurvivesAPauseOfTheNetwork(t *testing.T) {
	t.Parallel()
	h, s := shellHost(t, hosttest.ServerConfig{})
	s.Freeze()
	time.AfterFunc(300*time.Millisecond, s.Thaw)
	if _, err := h.Query(t.Context(), hello); err != nil || s.Connections() != 1 {
		t.Errorf("%d connections, %v", s.Connections(), err)
	}
}

func TestSessionsStayWithinTheLimitOfTheServer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ server, own, most int }{
		"no limit of the server": {server: 0, own: 0, most: 8},
		"the default of sshd":    {server: 10, own: 0, most: 8},
		"a lower limit":          {server: 3, own: 0, most: 3},
		"one session":            {server: 1, own: 0, most: 1},
		"a limit in the options": {server: 10, own: 2, most: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shellServer(t, hosttest.ServerConfig{MaxSessions: test.server})
			o := optionsFor(s)
			o.MaxSessions = test.own
			h := dial(t, o)
			dir := t.TempDir()
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					if _, err := h.Run(t.Context(), host.Cmd{Argv: []string{"sleep", "0.05"}}); err != nil {
						t.Error(err)
					}
					name := filepath.Join(dir, string(rune('a'+i)))
					if err := h.WriteFiles(t.Context(), mine(name, "x")); err != nil {
						t.Error(err)
					}
					if _, err := h.ReadFile(t.Context(), name); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if s.MostSessions() > test.most || s.Connections() != 1 {
				t.Errorf("%d sessions at once, want at most %d; %d connections", s.MostSessions(), test.most, s.Connections())
			}
		})
	}
}

func TestFilesAndCommandsTakeTurnsOnOneSession(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h, s := shellHost(t, hosttest.ServerConfig{MaxSessions: 1})
	ctx := within(t, time.Minute)
	dir := t.TempDir()
	for range 3 {
		if err := h.WriteFiles(ctx, mine(filepath.Join(dir, "f"), "x")); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Run(ctx, hello); err != nil {
			t.Fatal(err)
		}
	}
	blob := newBlob(t, filepath.Join(dir, "blob"), 1<<20)
	if err := h.Upload(ctx, blob); err != nil {
		t.Errorf("upload: %v", err)
	}
	if s.MostSessions() != 1 || s.Connections() != 1 {
		t.Errorf("%d sessions, %d connections", s.MostSessions(), s.Connections())
	}
}

func TestWaitingForASessionEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{})
	o := optionsFor(s)
	o.MaxSessions = 1
	h := dial(t, o)
	flag := filepath.Join(t.TempDir(), "end")
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(t.Context(), host.Script("wait", []byte(`while ! [ -e "$1" ]; do sleep 0.05; done`), flag))
		done <- err
	}()
	waitUntil(t, "it runs", func() bool { return s.MostSessions() == 1 })
	if _, err := h.Query(within(t, 200*time.Millisecond), hello); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

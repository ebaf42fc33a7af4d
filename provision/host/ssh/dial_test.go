package ssh_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/ssh"
)

var hello = host.Cmd{Argv: []string{"echo", "hello"}}

func TestDialDistinguishesARefusedKeyFromAnUnreachableHost(t *testing.T) {
	t.Parallel()
	refusing := hosttest.NewServer(t, hosttest.ServerConfig{RefuseAll: true})
	_, err := connect(t.Context(), optionsFor(refusing))
	if !errors.Is(err, host.ErrAuth) || errors.Is(err, host.ErrUnreachable) {
		t.Errorf("refused key: %v", err)
	}

	o := optionsFor(refusing)
	o.Port = closedPort(t)
	if _, err := connect(t.Context(), o); !errors.Is(err, host.ErrUnreachable) || errors.Is(err, host.ErrAuth) {
		t.Errorf("closed port: %v", err)
	}

	o = optionsFor(refusing)
	o.IdentityFile = filepath.Join(t.TempDir(), "missing")
	if _, err := connect(t.Context(), o); !errors.Is(err, host.ErrAuth) || errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), o.IdentityFile) {
		t.Errorf("missing key: %v", err)
	}
}

func TestDialTimesOutOnASilentHost(t *testing.T) {
	t.Parallel()
	s := hosttest.NewServer(t, hosttest.ServerConfig{Silent: true})
	o := optionsFor(s)
	o.Timeouts.Connect = 200 * time.Millisecond
	begin := time.Now()
	_, err := connect(t.Context(), o)
	if !errors.Is(err, host.ErrUnreachable) || time.Since(begin) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := hosttest.NewServer(t, hosttest.ServerConfig{Silent: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := connect(ctx, optionsFor(s))
	if !errors.Is(err, context.Canceled) || errors.Is(err, host.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestDialThroughBastions(t *testing.T) {
	t.Parallel()
	target := shellServer(t, hosttest.ServerConfig{})
	inner, outer := hosttest.NewServer(t, hosttest.ServerConfig{}), hosttest.NewServer(t, hosttest.ServerConfig{})
	o, first, second := optionsFor(target), optionsFor(inner), optionsFor(outer)
	first.Bastion = &second
	o.Bastion = &first
	h := dial(t, o)
	result, err := h.Query(t.Context(), hello)
	if err != nil || string(result.Stdout) != "hello\n" {
		t.Errorf("got %q, %v", result.Stdout, err)
	}
	if inner.Connections() != 1 || outer.Connections() != 1 {
		t.Errorf("%d and %d connections", inner.Connections(), outer.Connections())
	}
}

func TestDialTimesOutOnASilentHostBehindABastion(t *testing.T) {
	t.Parallel()
	target := hosttest.NewServer(t, hosttest.ServerConfig{Silent: true})
	bastion := optionsFor(hosttest.NewServer(t, hosttest.ServerConfig{}))
	o := optionsFor(target)
	o.Bastion, o.Timeouts.Connect = &bastion, 300*time.Millisecond
	if _, err := connect(within(t, 10*time.Second), o); !errors.Is(err, host.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestDialNamesTheBastionThatFails(t *testing.T) {
	t.Parallel()
	bastion := optionsFor(hosttest.NewServer(t, hosttest.ServerConfig{RefuseAll: true}))
	bastion.Name = "bastion b1"
	o := optionsFor(hosttest.NewServer(t, hosttest.ServerConfig{}))
	o.Bastion = &bastion
	_, err := connect(t.Context(), o)
	if !errors.Is(err, host.ErrAuth) || !strings.Contains(err.Error(), "bastion b1") {
		t.Errorf("got %v", err)
	}
}

func TestConnectTCPDoesNotLogIn(t *testing.T) {
	t.Parallel()
	refusing, bastion := hosttest.NewServer(t, hosttest.ServerConfig{RefuseAll: true}), hosttest.NewServer(t, hosttest.ServerConfig{})
	direct, behind, closed, silent := optionsFor(refusing), optionsFor(refusing), optionsFor(refusing), optionsFor(refusing)
	via, refused := optionsFor(bastion), optionsFor(refusing)
	behind.Bastion, closed.Bastion, silent.Bastion = &via, &via, &refused
	closed.Port = closedPort(t)
	for name, test := range map[string]struct {
		options ssh.Options
		listens bool
	}{
		"a host that refuses every login":                  {direct, true},
		"the same behind a bastion":                        {behind, true},
		"a closed port behind a bastion":                   {closed, false},
		"a host behind a bastion that refuses every login": {silent, false},
	} {
		h, err := ssh.New(test.options)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.ConnectTCP(within(t, 10*time.Second)); (err == nil) != test.listens {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestHostDialsFromTheHost(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, hosttest.ServerConfig{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = conn.Write([]byte("hi"))
			_ = conn.Close()
		}
	}()
	conn, err := h.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	got := make([]byte, 2)
	if _, err := conn.Read(got); err != nil || string(got) != "hi" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestClosedHostRefusesWork(t *testing.T) {
	t.Parallel()
	h, s := shellHost(t, hosttest.ServerConfig{})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Query(t.Context(), hello); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if s.Connections() != 1 {
		t.Errorf("%d connections", s.Connections())
	}
}

func closedPort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

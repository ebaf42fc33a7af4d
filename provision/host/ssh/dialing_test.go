package ssh_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/ssh"
)

func TestNewDoesNotConnect(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{})
	h, err := ssh.New(optionsFor(s))
	if err != nil {
		t.Fatal(err)
	}
	if s.Connections() != 0 {
		t.Errorf("%d connections before the first call", s.Connections())
	}
	if _, err := h.Query(t.Context(), hello); err != nil || s.Connections() != 1 {
		t.Errorf("%d connections after the first call, %v", s.Connections(), err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesIncompleteOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ssh.Options{
		"no address":     {Name: "n1", User: "root", KnownHostsFile: "x"},
		"no user":        {Name: "n1", Address: "192.0.2.1", KnownHostsFile: "x"},
		"no known hosts": {Name: "n1", Address: "192.0.2.1", User: "root"},
		"a bastion without an address": {
			Name: "n1", Address: "192.0.2.1", User: "root", KnownHostsFile: "x",
			Bastion: &ssh.Options{User: "root", KnownHostsFile: "x"},
		},
	} {
		if _, err := ssh.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// silentHost returns a host whose server accepts connections and sends nothing.
func silentHost(t *testing.T, timeout time.Duration) (*ssh.Host, *hosttest.Server) {
	t.Helper()
	s := hosttest.NewServer(t, hosttest.ServerConfig{Silent: true})
	o := optionsFor(s)
	o.Timeouts.Connect = timeout
	h, err := ssh.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h, s
}

// query starts queries in parallel and returns the error of each.
func query(ctx context.Context, h *ssh.Host, calls int) <-chan error {
	errs := make(chan error, calls)
	for range calls {
		go func() {
			_, err := h.Query(ctx, hello)
			errs <- err
		}()
	}
	return errs
}

func TestCallersOfADeadHostShareOneAttempt(t *testing.T) {
	t.Parallel()
	const callers = 8
	h, s := silentHost(t, time.Second)
	errs := query(t.Context(), h, callers)
	for range callers {
		if err := <-errs; !errors.Is(err, host.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
	}
	if s.Connections() != 1 {
		t.Errorf("%d attempts, want one", s.Connections())
	}
}

func TestAnAttemptOutlivesTheCallerThatStartedIt(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{Latency: 150 * time.Millisecond})
	h, err := ssh.New(optionsFor(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	first := query(ctx, h, 1)
	waitUntil(t, "the first caller dials", func() bool { return s.Connections() == 1 })
	second := query(t.Context(), h, 1)
	// Cancel when both callers wait, long before the dial ends.
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller: %v", err)
	}
	if err := <-second; err != nil || s.Connections() != 1 {
		t.Errorf("the second caller: %v, %d connections", err, s.Connections())
	}
}

func TestAnAttemptEndsWithItsLastCaller(t *testing.T) {
	t.Parallel()
	h, s := silentHost(t, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	errs := query(ctx, h, 2)
	waitUntil(t, "a caller dials", func() bool { return s.Connections() == 1 })
	cancel()
	for range 2 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	// The next caller starts a new attempt.
	next := query(within(t, 300*time.Millisecond), h, 1)
	waitUntil(t, "the next caller dials", func() bool { return s.Connections() == 2 })
	if err := <-next; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the next caller: %v", err)
	}
}

func TestCloseCancelsAnAttempt(t *testing.T) {
	t.Parallel()
	h, s := silentHost(t, time.Minute)
	errs := query(within(t, 20*time.Second), h, 1)
	waitUntil(t, "it dials", func() bool { return s.Connections() == 1 })
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-errs; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

package ssh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/ssh"
)

// brokenAgent has a key, and refuses to sign, or hangs.
type brokenAgent struct {
	agent.Agent
	hangs   bool
	release <-chan struct{}
	signs   atomic.Int64
}

func (b *brokenAgent) Sign(gossh.PublicKey, []byte) (*gossh.Signature, error) {
	b.signs.Add(1)
	if b.hangs {
		<-b.release
	}
	return nil, errors.New("a person refused")
}

// agentThat returns the socket of an agent with the key of lockedKey that does not
// sign.
func agentThat(t *testing.T, hangs bool) (string, *brokenAgent) {
	t.Helper()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: privateKey(t)}); err != nil {
		t.Fatal(err)
	}
	broken := &brokenAgent{Agent: ring, hangs: hangs, release: release}
	return serveAgent(t, broken), broken
}

// silentAgent returns the socket of an agent that accepts connections and never
// answers, and the number of connections that are open.
func silentAgent(t *testing.T) (string, *atomic.Int64) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var open atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				open.Add(-1)
			}()
		}
	}()
	return socket, &open
}

// agentLimit is the connection timeout of these tests.
const agentLimit = 400 * time.Millisecond

func TestKeysOfFilesAreTriedWhenTheAgentDoesNotWork(t *testing.T) {
	t.Parallel()
	silent, _ := silentAgent(t)
	unserved := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", unserved) // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	hanging, _ := agentThat(t, true)
	refusing, _ := agentThat(t, false)
	for name, test := range map[string]struct{ socket, reason string }{
		"it does not answer":          {silent, "no answer within 400ms"},
		"it accepts no connection":    {unserved, "no answer within 400ms"},
		"it does not answer a signer": {hanging, "no answer within 400ms"},
		"it refuses to sign":          {refusing, "failed to sign challenge"},
		"it does not exist":           {filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hosttest.NewServer(t, hosttest.ServerConfig{AuthorizedKeys: []gossh.PublicKey{unlocked(t).PublicKey()}})
			o := optionsFor(s)
			o.AgentSocket, o.Timeouts.Connect = test.socket, agentLimit
			o.IdentityFile, o.DefaultIdentities = "", []string{o.IdentityFile} // after the agent's keys
			if _, err := connect(within(t, 10*time.Second), o); err != nil {
				t.Errorf("with a key in a file: %v", err)
			}

			o.DefaultIdentities = nil
			_, err := connect(within(t, 10*time.Second), o)
			if !errors.Is(err, host.ErrAuth) || errors.Is(err, host.ErrUnreachable) ||
				!strings.Contains(err.Error(), "ssh-agent "+test.socket) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("without another key: %v", err)
			}

			o.IdentityFile = lockedKey
			_, err = connect(within(t, 10*time.Second), o)
			if !errors.Is(err, host.ErrAuth) || !strings.Contains(err.Error(), "ssh-agent "+test.socket) || !strings.Contains(err.Error(), "ssh-add") {
				t.Errorf("with a locked key: %v", err)
			}
		})
	}
}

func TestABastionIsReachedWhenTheAgentDoesNotAnswer(t *testing.T) {
	t.Parallel()
	socket, _ := silentAgent(t)
	o, bastion := optionsFor(hosttest.NewServer(t, hosttest.ServerConfig{})), optionsFor(hosttest.NewServer(t, hosttest.ServerConfig{}))
	for _, options := range []*ssh.Options{&o, &bastion} {
		options.AgentSocket, options.Timeouts.Connect = socket, agentLimit
	}
	o.Bastion = &bastion
	dial(t, o)
}

func TestWaitingForTheAgentEndsWithTheContext(t *testing.T) {
	t.Parallel()
	silent, open := silentAgent(t)
	hanging, broken := agentThat(t, true)
	for name, test := range map[string]struct {
		socket  string
		waiting func() bool
		ended   func() bool
	}{
		"for its keys":    {silent, func() bool { return open.Load() == 1 }, func() bool { return open.Load() == 0 }},
		"for a signature": {hanging, func() bool { return broken.signs.Load() == 1 }, func() bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hosttest.NewServer(t, hosttest.ServerConfig{AuthorizedKeys: []gossh.PublicKey{unlocked(t).PublicKey()}})
			o := optionsFor(s)
			o.AgentSocket, o.IdentityFile, o.Timeouts.Connect = test.socket, "", time.Hour
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := connect(ctx, o)
				done <- err
			}()
			waitUntil(t, "the agent is asked", test.waiting)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			// The attempt itself ends too, not only the wait for it.
			waitUntil(t, "the connection to the agent is closed", test.ended)
			waitUntil(t, "no connection to the server is left", func() bool { return s.Open() == 0 })
		})
	}
}

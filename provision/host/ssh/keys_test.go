package ssh_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/ssh"
)

// lockedKey has the passphrase "open sesame", and only one round of bcrypt.
const lockedKey = "testdata/locked_ed25519"

// lockedOptions returns options for a server that accepts the locked key, or
// refuses every key.
func lockedOptions(t testing.TB, refuse bool) ssh.Options {
	t.Helper()
	s := hosttest.NewServer(t, hosttest.ServerConfig{
		RefuseAll: refuse, AuthorizedKeys: []gossh.PublicKey{unlocked(t).PublicKey()},
	})
	o := optionsFor(s)
	o.IdentityFile = lockedKey
	return o
}

func unlocked(t testing.TB) gossh.Signer {
	t.Helper()
	content, err := os.ReadFile(lockedKey)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.ParsePrivateKeyWithPassphrase(content, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestDialUnlocksAKeyOnlyIfTheServerAcceptsIt(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]bool{"accepted": false, "refused": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := lockedOptions(t, refuse)
			asked := 0
			o.Passphrase = func(_ context.Context, file string) ([]byte, error) {
				asked++
				if file != lockedKey {
					t.Errorf("asked for %s", file)
				}
				return []byte("open sesame"), nil
			}
			h, err := connect(t.Context(), o)
			if (err != nil) != refuse || (asked == 1) == refuse {
				t.Errorf("asked %d times, %v", asked, err)
			}
			if err == nil {
				_ = h.Close()
			}
		})
	}
}

func TestTheDialTimeoutPausesWhileAPassphraseIsTyped(t *testing.T) {
	t.Parallel()
	o := lockedOptions(t, false)
	o.Timeouts.Connect = 1500 * time.Millisecond
	o.Passphrase = func(ctx context.Context, _ string) ([]byte, error) {
		select {
		case <-time.After(1700 * time.Millisecond):
			return []byte("open sesame"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	dial(t, o)
}

func TestDialReportsWhyALockedKeyWasNotOffered(t *testing.T) {
	t.Parallel()
	if _, err := connect(t.Context(), lockedOptions(t, false)); !errors.Is(err, host.ErrAuth) ||
		!strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("got %v", err)
	}
}

func TestAWrongPassphraseIsAnAuthenticationError(t *testing.T) {
	t.Parallel()
	o := lockedOptions(t, false)
	o.Passphrase = func(context.Context, string) ([]byte, error) { return []byte("wrong"), nil }
	if _, err := connect(t.Context(), o); !errors.Is(err, host.ErrAuth) {
		t.Errorf("got %v", err)
	}
}

func TestDialUsesTheAgent(t *testing.T) {
	t.Parallel()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: privateKey(t)}); err != nil {
		t.Fatal(err)
	}
	o := lockedOptions(t, false)
	o.AgentSocket = serveAgent(t, ring)
	o.IdentityFile = ""
	dial(t, o)

	o.IdentitiesOnly = true // and none is named
	if _, err := connect(t.Context(), o); !errors.Is(err, host.ErrAuth) {
		t.Errorf("IdentitiesOnly: %v", err)
	}
	// The agent holds the key of the locked file: no passphrase is needed.
	o.IdentityFile = lockedKey
	dial(t, o)
}

func TestDialTriesDefaultIdentitiesThatExist(t *testing.T) {
	t.Parallel()
	s := hosttest.NewServer(t, hosttest.ServerConfig{})
	o := optionsFor(s)
	o.DefaultIdentities = []string{filepath.Join(t.TempDir(), "id_none"), hosttest.NewKeyFile(t), o.IdentityFile}
	o.IdentityFile = ""
	dial(t, o)
}

func privateKey(t testing.TB) *ed25519.PrivateKey {
	t.Helper()
	content, err := os.ReadFile(lockedKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := gossh.ParseRawPrivateKeyWithPassphrase(content, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ed25519.PrivateKey)
}

func serveAgent(t testing.TB, ring agent.Agent) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	return socket
}

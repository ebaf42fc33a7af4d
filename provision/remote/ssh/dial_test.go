package ssh_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"slipway.io/slipway/provision/remote"
	"slipway.io/slipway/provision/remote/remotetest"
	"slipway.io/slipway/provision/remote/ssh"
)

var hello = remote.Cmd{Argv: []string{"echo", "hello"}}

func TestDialRefusesAnUnknownHostKeyAndTellsItsFingerprint(t *testing.T) {
	t.Parallel()
	s := remotetest.NewServer(t, remotetest.ServerConfig{})
	o := optionsFor(s)
	o.KnownHostsFile = filepath.Join(t.TempDir(), "none", "known_hosts")
	_, err := ssh.Dial(t.Context(), o)
	var refused *remote.HostKeyError
	if !errors.As(err, &refused) {
		t.Fatalf("want a HostKeyError, got %v", err)
	}
	want := gossh.FingerprintSHA256(s.HostKeys["ed25519"].PublicKey())
	if refused.Changed || refused.Fingerprint != want || refused.Host != "n1" || refused.KeyType != "ssh-ed25519" {
		t.Errorf("got %+v, want the fingerprint %s", refused, want)
	}
	if _, err := os.Stat(filepath.Dir(o.KnownHostsFile)); err == nil {
		t.Error("known hosts were written")
	}
}

func TestDialRecordsANewHostKeyOnceThoughManyDialAtOnce(t *testing.T) {
	t.Parallel()
	s := remotetest.NewServer(t, remotetest.ServerConfig{})
	o := optionsFor(s)
	o.AcceptNewHostKeys = true
	o.KnownHostsFile = filepath.Join(t.TempDir(), "new", "known_hosts")
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			h, err := ssh.Dial(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			_ = h.Close()
		})
	}
	all.Wait()
	content, err := os.ReadFile(o.KnownHostsFile)
	if err != nil || strings.Count(string(content), "\n") != 1 {
		t.Errorf("want one line, got %q, %v", content, err)
	}
	for path, mode := range map[string]os.FileMode{o.KnownHostsFile: 0o600, filepath.Dir(o.KnownHostsFile): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: want mode %v, got %v, %v", path, mode, info, err)
		}
	}
	o.AcceptNewHostKeys = false
	dial(t, o)
}

func TestDialAppendsAfterAnUnfinishedLine(t *testing.T) {
	t.Parallel()
	first := remotetest.NewServer(t, remotetest.ServerConfig{})
	second := remotetest.NewServer(t, remotetest.ServerConfig{})
	o := optionsFor(first)
	content, err := os.ReadFile(o.KnownHostsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.KnownHostsFile, []byte(strings.TrimSpace(string(content))), 0o600); err != nil {
		t.Fatal(err)
	}
	more := optionsFor(second)
	more.KnownHostsFile, more.AcceptNewHostKeys = o.KnownHostsFile, true
	dial(t, more)
	dial(t, o) // is still known
}

func TestDialAlwaysRefusesAChangedHostKey(t *testing.T) {
	t.Parallel()
	old := remotetest.NewServer(t, remotetest.ServerConfig{})
	for name, types := range map[string][]string{
		"of the same type": {"ed25519"},
		// A server that only offers another type must not count as new.
		"of another type": {"ecdsa"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.NewServer(t, remotetest.ServerConfig{HostKeyTypes: types})
			o := optionsFor(s)
			o.AcceptNewHostKeys = true
			line := "[127.0.0.1]:" + strconv.Itoa(s.Port) + " " + string(gossh.MarshalAuthorizedKey(old.HostKeys["ed25519"].PublicKey()))
			if err := os.WriteFile(o.KnownHostsFile, []byte("# comment\n"+line), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ssh.Dial(t.Context(), o)
			var refused *remote.HostKeyError
			if !errors.As(err, &refused) || !refused.Changed {
				t.Fatalf("want a changed HostKeyError, got %v", err)
			}
			if want := o.KnownHostsFile + ":2"; len(refused.Known) != 1 || refused.Known[0] != want {
				t.Errorf("known from %q, want %q", refused.Known, want)
			}
		})
	}
}

func TestDialAsksForTheKeyTypeThatIsKnown(t *testing.T) {
	t.Parallel()
	for _, known := range []string{"rsa", "ecdsa", "ed25519"} {
		t.Run(known, func(t *testing.T) {
			t.Parallel()
			s := remotetest.NewServer(t, remotetest.ServerConfig{HostKeyTypes: []string{"ed25519", "ecdsa", "rsa"}})
			o := optionsFor(s)
			o.KnownHostsFile = s.KnownHosts(known)
			dial(t, o)
		})
	}
}

func TestDialTellsARefusedKeyFromAnUnreachableMachine(t *testing.T) {
	t.Parallel()
	refusing := remotetest.NewServer(t, remotetest.ServerConfig{RefuseAll: true})
	_, err := ssh.Dial(t.Context(), optionsFor(refusing))
	if !errors.Is(err, remote.ErrAuth) || errors.Is(err, remote.ErrUnreachable) {
		t.Errorf("refused key: %v", err)
	}

	o := optionsFor(refusing)
	o.Port = closedPort(t)
	if _, err := ssh.Dial(t.Context(), o); !errors.Is(err, remote.ErrUnreachable) || errors.Is(err, remote.ErrAuth) {
		t.Errorf("closed port: %v", err)
	}

	o = optionsFor(refusing)
	o.IdentityFile = filepath.Join(t.TempDir(), "missing")
	if _, err := ssh.Dial(t.Context(), o); !errors.Is(err, remote.ErrAuth) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing key: %v", err)
	}
}

func TestDialGivesUpOnAMachineThatAcceptsAndSaysNothing(t *testing.T) {
	t.Parallel()
	s := remotetest.NewServer(t, remotetest.ServerConfig{Silent: true})
	o := optionsFor(s)
	o.Timeouts.Connect = 200 * time.Millisecond
	begin := time.Now()
	_, err := ssh.Dial(t.Context(), o)
	if !errors.Is(err, remote.ErrUnreachable) || time.Since(begin) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := remotetest.NewServer(t, remotetest.ServerConfig{Silent: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := ssh.Dial(ctx, optionsFor(s))
	if !errors.Is(err, context.Canceled) || errors.Is(err, remote.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestDialThroughBastions(t *testing.T) {
	t.Parallel()
	target := shellServer(t, remotetest.ServerConfig{})
	inner, outer := remotetest.NewServer(t, remotetest.ServerConfig{}), remotetest.NewServer(t, remotetest.ServerConfig{})
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

func TestDialGivesUpOnASilentMachineBehindABastion(t *testing.T) {
	t.Parallel()
	target := remotetest.NewServer(t, remotetest.ServerConfig{Silent: true})
	bastion := optionsFor(remotetest.NewServer(t, remotetest.ServerConfig{}))
	o := optionsFor(target)
	o.Bastion, o.Timeouts.Connect = &bastion, 300*time.Millisecond
	if _, err := ssh.Dial(within(t, 10*time.Second), o); !errors.Is(err, remote.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestDialNamesTheBastionThatFails(t *testing.T) {
	t.Parallel()
	bastion := optionsFor(remotetest.NewServer(t, remotetest.ServerConfig{RefuseAll: true}))
	bastion.Name = "bastion b1"
	o := optionsFor(remotetest.NewServer(t, remotetest.ServerConfig{}))
	o.Bastion = &bastion
	_, err := ssh.Dial(t.Context(), o)
	if !errors.Is(err, remote.ErrAuth) || !strings.Contains(err.Error(), "bastion b1") {
		t.Errorf("got %v", err)
	}
}

// lockedKey has the passphrase "open sesame", and only one round of bcrypt.
const lockedKey = "testdata/locked_ed25519"

// lockedOptions are for a server that takes the locked key only.
func lockedOptions(t testing.TB, refuse bool) ssh.Options {
	t.Helper()
	s := remotetest.NewServer(t, remotetest.ServerConfig{
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

func TestDialUnlocksAKeyOnlyWhenTheServerTakesIt(t *testing.T) {
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
			h, err := ssh.Dial(t.Context(), o)
			if (err != nil) != refuse || (asked == 1) == refuse {
				t.Errorf("asked %d times, %v", asked, err)
			}
			if err == nil {
				_ = h.Close()
			}
		})
	}
}

func TestDialDoesNotCountTheTimeThatAPersonTypes(t *testing.T) {
	t.Parallel()
	o := lockedOptions(t, false)
	o.Timeouts.Connect = 3 * time.Second
	o.Passphrase = func(ctx context.Context, _ string) ([]byte, error) {
		select {
		case <-time.After(3500 * time.Millisecond):
			return []byte("open sesame"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	dial(t, o)
}

func TestDialSaysWhyALockedKeyWasNotOffered(t *testing.T) {
	t.Parallel()
	if _, err := ssh.Dial(t.Context(), lockedOptions(t, false)); !errors.Is(err, remote.ErrAuth) ||
		!strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("got %v", err)
	}
}

func TestDialTreatsAWrongPassphraseAsRefusal(t *testing.T) {
	t.Parallel()
	o := lockedOptions(t, false)
	o.Passphrase = func(context.Context, string) ([]byte, error) { return []byte("wrong"), nil }
	if _, err := ssh.Dial(t.Context(), o); !errors.Is(err, remote.ErrAuth) {
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
	if _, err := ssh.Dial(t.Context(), o); !errors.Is(err, remote.ErrAuth) {
		t.Errorf("IdentitiesOnly: %v", err)
	}
	// The locked file's key is in the agent: no passphrase is needed.
	o.IdentityFile = lockedKey
	dial(t, o)
}

func TestDialTriesDefaultIdentitiesThatExist(t *testing.T) {
	t.Parallel()
	s := remotetest.NewServer(t, remotetest.ServerConfig{})
	o := optionsFor(s)
	o.DefaultIdentities = []string{filepath.Join(t.TempDir(), "id_none"), remotetest.NewKeyFile(t), o.IdentityFile}
	o.IdentityFile = ""
	dial(t, o)
}

func TestHostDialsFromTheMachine(t *testing.T) {
	t.Parallel()
	h, _ := shellHost(t, remotetest.ServerConfig{})
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
	h, s := shellHost(t, remotetest.ServerConfig{})
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

func closedPort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

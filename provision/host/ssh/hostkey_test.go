package ssh_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

func TestDialRefusesAnUnknownHostKeyAndReportsItsFingerprint(t *testing.T) {
	t.Parallel()
	s := hosttest.NewServer(t, hosttest.ServerConfig{})
	o := optionsFor(s)
	o.KnownHostsFile = filepath.Join(t.TempDir(), "none", "known_hosts")
	_, err := connect(t.Context(), o)
	var refused *host.HostKeyError
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

func TestParallelDialsRecordANewHostKeyOnce(t *testing.T) {
	t.Parallel()
	s := hosttest.NewServer(t, hosttest.ServerConfig{})
	o := optionsFor(s)
	o.AcceptNewHostKeys = true
	o.KnownHostsFile = filepath.Join(t.TempDir(), "new", "known_hosts")
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			h, err := connect(t.Context(), o)
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
	first := hosttest.NewServer(t, hosttest.ServerConfig{})
	second := hosttest.NewServer(t, hosttest.ServerConfig{})
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
	old := hosttest.NewServer(t, hosttest.ServerConfig{})
	for name, types := range map[string][]string{
		"of the same type": {"ed25519"},
		// A server that offers only another type is not a new host.
		"of another type": {"ecdsa"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hosttest.NewServer(t, hosttest.ServerConfig{HostKeyTypes: types})
			o := optionsFor(s)
			o.AcceptNewHostKeys = true
			line := "[127.0.0.1]:" + strconv.Itoa(s.Port) + " " + string(gossh.MarshalAuthorizedKey(old.HostKeys["ed25519"].PublicKey()))
			if err := os.WriteFile(o.KnownHostsFile, []byte("# comment\n"+line), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := connect(t.Context(), o)
			var refused *host.HostKeyError
			if !errors.As(err, &refused) || !refused.Changed {
				t.Fatalf("want a changed HostKeyError, got %v", err)
			}
			if want := o.KnownHostsFile + ":2"; len(refused.Known) != 1 || refused.Known[0] != want {
				t.Errorf("known from %q, want %q", refused.Known, want)
			}
		})
	}
}

func TestDialRequestsTheKeyTypeInKnownHosts(t *testing.T) {
	t.Parallel()
	for _, known := range []string{"rsa", "ecdsa", "ed25519"} {
		t.Run(known, func(t *testing.T) {
			t.Parallel()
			s := hosttest.NewServer(t, hosttest.ServerConfig{HostKeyTypes: []string{"ed25519", "ecdsa", "rsa"}})
			o := optionsFor(s)
			o.KnownHostsFile = s.KnownHosts(known)
			dial(t, o)
		})
	}
}

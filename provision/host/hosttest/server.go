package hosttest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// ServerConfig says how a Server behaves. The zero value lets every user in who
// has the key in Server.KeyFile, runs nothing, and offers an ed25519 host key.
type ServerConfig struct {
	// HostKeyTypes are of "ed25519", "ecdsa" and "rsa"; default ed25519.
	HostKeyTypes []string
	// AuthorizedKeys are accepted besides that of Server.KeyFile.
	AuthorizedKeys []ssh.PublicKey
	// RefuseAll refuses every key.
	RefuseAll bool
	// MaxSessions a connection; 0 is no limit.
	MaxSessions int
	// Latency is the round-trip time that is added.
	Latency time.Duration
	// Exec handles commands; see Shell. Nil: each ends with 127.
	Exec func(ctx context.Context, e Exec) int
	// SFTP answers in the process itself whatever would start an SFTP server
	// program: files are those of this computer, with the rights of the test.
	SFTP bool
	// Silent accepts TCP and never says a word.
	Silent bool
}

// Server is an SSH server on the loopback interface, in the process of the
// test, which can do what a network does.
type Server struct {
	// Address and Port are where it listens.
	Address string
	Port    int
	// KeyFile is a private key that it accepts.
	KeyFile string
	// HostKeys are its keys, by type.
	HostKeys map[string]ssh.Signer

	t      testing.TB
	config ServerConfig
	ssh    *ssh.ServerConfig
	ctx    context.Context // of the listening; commands end with it
	line   line

	mu    sync.Mutex
	conns map[net.Conn]struct{}

	opened, sessions, most atomic.Int64
	wg                     sync.WaitGroup
}

// NewServer starts one; it ends with the test.
func NewServer(t testing.TB, config ServerConfig) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{t: t, config: config, ctx: ctx, HostKeys: map[string]ssh.Signer{}, conns: map[net.Conn]struct{}{}}
	s.line.gate.Store(openGate())
	s.KeyFile = NewKeyFile(t)
	s.configure()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.Address = host
	if s.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	s.wg.Go(func() { s.accept(listener) })
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		s.Thaw()
		s.Drop()
		s.wg.Wait()
	})
	return s
}

func (s *Server) configure() {
	allowed, err := signerOf(s.KeyFile)
	if err != nil {
		s.t.Fatal(err)
	}
	keys := append([]ssh.PublicKey{allowed.PublicKey()}, s.config.AuthorizedKeys...)
	s.ssh = &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			same := func(other ssh.PublicKey) bool { return bytes.Equal(key.Marshal(), other.Marshal()) }
			if s.config.RefuseAll || !slices.ContainsFunc(keys, same) {
				return nil, errors.New("key refused")
			}
			return nil, nil
		},
	}
	types := s.config.HostKeyTypes
	if len(types) == 0 {
		types = []string{"ed25519"}
	}
	for _, kind := range types {
		signer, err := newSigner(kind)
		if err != nil {
			s.t.Fatal(err)
		}
		s.HostKeys[kind] = signer
		s.ssh.AddHostKey(signer)
	}
}

// KnownHosts writes a known_hosts file with the server's keys of these types
// (all, if none is named) and gives its path.
func (s *Server) KnownHosts(types ...string) string {
	s.t.Helper()
	var lines string
	address := net.JoinHostPort(s.Address, strconv.Itoa(s.Port))
	for kind, signer := range s.HostKeys {
		wanted := len(types) == 0
		for _, t := range types {
			wanted = wanted || t == kind
		}
		if wanted {
			lines += knownhosts.Line([]string{address}, signer.PublicKey()) + "\n"
		}
	}
	path := filepath.Join(s.t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// Connections is how many were accepted up to now.
func (s *Server) Connections() int { return int(s.opened.Load()) }

// Sessions is how many are open now.
func (s *Server) Sessions() int { return int(s.sessions.Load()) }

// MostSessions is how many sessions were open at once at most.
func (s *Server) MostSessions() int { return int(s.most.Load()) }

// Drop ends every connection at once, as a cut line with a reset does.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// Freeze lets nothing through any more, in either direction, on connections old
// and new, as a host that lost its power does. Thaw lets it through again.
func (s *Server) Freeze() { s.line.gate.Store(closedGate()) }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.line.gate.Swap(openGate()).open() }

func (s *Server) accept(listener net.Listener) {
	for {
		front, err := listener.Accept()
		if err != nil {
			return
		}
		s.opened.Add(1)
		s.mu.Lock()
		s.conns[front] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			defer s.forget(front)
			if s.config.Silent {
				<-s.ctx.Done()
				return
			}
			s.serve(s.line.delay(front, s.config.Latency/2))
		})
	}
}

func (s *Server) forget(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

// NewKeyFile writes a fresh private key and gives its path.
func NewKeyFile(t testing.TB) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "test")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "id_test")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func signerOf(path string) (ssh.Signer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(content)
}

func newSigner(kind string) (ssh.Signer, error) {
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("unknown host key type %q", kind)
	}
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

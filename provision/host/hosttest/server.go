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

// ServerConfig configures a Server. The zero value accepts every user with the
// key in Server.KeyFile, runs no commands and offers an ed25519 host key.
type ServerConfig struct {
	// HostKeyTypes are the types of host keys to offer: "ed25519", "ecdsa", "rsa".
	// Default ed25519.
	HostKeyTypes []string
	// AuthorizedKeys are accepted in addition to the key in Server.KeyFile.
	AuthorizedKeys []ssh.PublicKey
	// RefuseAll refuses every key.
	RefuseAll bool
	// MaxSessions limits the sessions of a connection; 0 is no limit.
	MaxSessions int
	// Latency is added to each round trip.
	Latency time.Duration
	// Exec handles commands, as Shell does, and returns their exit code. If nil,
	// the exit code is 127.
	Exec func(ctx context.Context, e Exec) int
	// Banner is printed on both streams before each command and each SFTP session, as
	// profiles and forced commands do.
	Banner string
	// SFTP serves SFTP in the process of the test, with the files of localhost
	// and the permissions of the test.
	SFTP bool
	// Silent accepts TCP connections and sends nothing.
	Silent bool
}

// Server is an SSH server on the loopback interface, in the process of the test.
// It can simulate a slow or broken network.
type Server struct {
	// Address and Port are where the server listens.
	Address string
	Port    int
	// KeyFile is the path of a private key that the server accepts.
	KeyFile string
	// HostKeys are the host keys by type.
	HostKeys map[string]ssh.Signer

	t      testing.TB
	config ServerConfig
	ssh    *ssh.ServerConfig
	ctx    context.Context // ends with the server
	line   line

	mu    sync.Mutex
	conns map[net.Conn]struct{}

	opened, sessions, most atomic.Int64
	wg                     sync.WaitGroup
}

// NewServer starts a server that stops when the test ends.
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

// KnownHosts writes a known_hosts file with the server's host keys of these types
// (default all) and returns its path.
func (s *Server) KnownHosts(types ...string) string {
	s.t.Helper()
	var lines string
	address := net.JoinHostPort(s.Address, strconv.Itoa(s.Port))
	for kind, signer := range s.HostKeys {
		if len(types) == 0 || slices.Contains(types, kind) {
			lines += knownhosts.Line([]string{address}, signer.PublicKey()) + "\n"
		}
	}
	path := filepath.Join(s.t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// Connections returns the number of accepted connections.
func (s *Server) Connections() int { return int(s.opened.Load()) }

// Open returns the number of open connections.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Sessions returns the number of open sessions.
func (s *Server) Sessions() int { return int(s.sessions.Load()) }

// MostSessions returns the highest number of sessions that were open at once.
func (s *Server) MostSessions() int { return int(s.most.Load()) }

// Drop closes every connection, as a reset does.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// Freeze blocks all traffic of existing and new connections in both directions,
// as a power failure of the host does, until Thaw.
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

// NewKeyFile generates a private key and returns the path of its file.
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

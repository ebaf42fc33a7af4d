package standin

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Proxy listens on an address, and connects each known name to the stand-in. It demands
// the credentials. It returns its address with the port.
func (s *Server) Proxy(ctx context.Context, address string) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(s.connect), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
	}
	s.mu.Lock()
	s.closers = append(s.closers, server)
	s.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), nil
}

// connect answers a request to the proxy.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(s.Username+":"+s.Password))
	if r.Header.Get("Proxy-Authorization") != want {
		s.count(&s.refused)
		w.Header().Set("Proxy-Authenticate", `Basic realm="rehearsal"`)
		http.Error(w, "log in", http.StatusProxyAuthRequired)
		return
	}
	host, port, err := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || err != nil || !s.knows(host, port) {
		s.stray("proxy: %s %s", r.Method, r.URL.Redacted())
		http.Error(w, "no such server", http.StatusForbidden)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.stray("proxy: %v", err)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	s.count(&s.connected)
	_ = conn.SetDeadline(time.Time{})
	s.incoming <- tls.Server(&tunnel{Conn: conn, read: buffered.Reader}, s.tlsConfig(host))
}

// tunnel is a connection through the proxy, which may have read the first bytes already.
type tunnel struct {
	net.Conn
	read *bufio.Reader
}

// Read reads the connection.
func (t *tunnel) Read(b []byte) (int, error) { return t.read.Read(b) }

// tlsConfig has the certificate of a name: the one that was asked of the proxy.
func (s *Server) tlsConfig(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName != host {
				s.stray("TLS with %q at %s", hello.ServerName, host)
				return nil, fmt.Errorf("unknown name %q", hello.ServerName)
			}
			return s.authority.of(host)
		},
	}
}

// queue is a listener of the connections that come through the proxy.
type queue struct {
	incoming chan net.Conn
	closed   chan struct{}
}

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.incoming:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *queue) Close() error {
	select {
	case <-q.closed:
	default:
		close(q.closed)
	}
	return nil
}

// Addr is no address: only the proxy reaches the server.
func (q *queue) Addr() net.Addr { return &net.UnixAddr{Name: "proxy", Net: "unix"} }

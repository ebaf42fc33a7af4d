package kubetest

import (
	"bufio"
	"context"
	"net"
	"sync"
)

// Listener accepts the connections that its Dial opens, in memory. Unlike those of
// the loopback, they can be used in a bubble of testing/synctest, where waiting
// takes no time.
type Listener struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    func()

	mu   sync.Mutex
	ends []net.Conn // of the connections, on the side of Dial
}

// bufferSize is more than a TLS handshake writes at a time, in bytes.
const bufferSize = 64 << 10

// conn reads all that one write of its peer holds, as a socket does. On a plain
// net.Pipe, both sides of a TLS handshake that fails would wait for each other.
type conn struct {
	net.Conn
	buffered *bufio.Reader
}

func newConn(c net.Conn) net.Conn { return &conn{c, bufio.NewReaderSize(c, bufferSize)} }

func (c *conn) Read(p []byte) (int, error) { return c.buffered.Read(p) }

// Listen returns a Listener.
func Listen() *Listener {
	closed := make(chan struct{})
	return &Listener{accepted: make(chan net.Conn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

// Dial connects to the Listener, whatever the address.
func (l *Listener) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accepted <- newConn(server):
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ends = append(l.ends, client)
		return newConn(client), nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial, and the connections. httptest closes the listener first
// and then, under a lock, each connection with a TLS alert: for one that nobody reads, it
// would wait for ever in a bubble of testing/synctest.
func (l *Listener) Close() error {
	l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range l.ends {
		end.Close()
	}
	return nil
}

// Addr is an address for which the certificates of httptest are valid.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6443} }

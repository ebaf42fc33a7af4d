package ssh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"
)

// conn is one connection: it ends once and does not come back. Host makes a new
// one.
type conn struct {
	options Options
	client  *gossh.Client
	wire    *watchedConn
	via     *conn

	sessions *sessions
	files    *files

	// lost is closed when the connection has ended, for the reason in cause.
	lost  chan struct{}
	cause atomic.Pointer[error]
}

// watchedConn knows when something was last received.
type watchedConn struct {
	net.Conn
	heard     atomic.Int64 // UnixNano
	closeOnce sync.Once
	closeErr  error
}

func newWatchedConn(c net.Conn) *watchedConn {
	w := &watchedConn{Conn: c}
	w.heard.Store(time.Now().UnixNano())
	return w
}

func (w *watchedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (w *watchedConn) Close() error {
	w.closeOnce.Do(func() { w.closeErr = w.Conn.Close() })
	return w.closeErr
}

func (w *watchedConn) lastHeard() time.Time { return time.Unix(0, w.heard.Load()) }

func newConn(o Options, client *gossh.Client, wire *watchedConn, via *conn) *conn {
	c := &conn{options: o, client: client, wire: wire, via: via, lost: make(chan struct{})}
	c.sessions = newSessions(o.MaxSessions, c.lost)
	c.files = &files{conn: c}
	c.sessions.makeRoom = c.files.closeIdle
	go func() {
		err := client.Wait()
		c.fail(fmt.Errorf("connection lost: %w", err))
		close(c.lost)
	}()
	go c.keepalive()
	return c
}

// fail ends the connection; the first reason stays.
func (c *conn) fail(reason error) {
	c.cause.CompareAndSwap(nil, &reason)
	_ = c.wire.Close()
}

// close is for a connection that is not needed any more. nil is none.
func (c *conn) close() {
	if c == nil {
		return
	}
	c.fail(net.ErrClosed)
	c.via.close()
}

func (c *conn) isLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return c.cause.Load() != nil
	}
}

// reason is why the connection ended, or err if it has not.
func (c *conn) reason(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return err
}

// keepalive asks from time to time, and ends a connection on which nothing
// comes back: a machine that vanished sends no RST (golang/go#26643). Anything
// received counts, so that a long upload over a slow line does not end it.
func (c *conn) keepalive() {
	ticker := time.NewTicker(c.options.Timeouts.KeepaliveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-c.lost:
			return
		case <-ticker.C:
		}
		asked := time.Now()
		answered := make(chan error, 1)
		go func() {
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		if !c.awaitAnswer(asked, answered) {
			return
		}
	}
}

func (c *conn) awaitAnswer(asked time.Time, answered <-chan error) bool {
	limit := c.options.Timeouts.KeepaliveReply
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case err := <-answered:
			return err == nil
		case <-c.lost:
			return false
		case <-timer.C:
			heard := c.wire.lastHeard()
			if heard.Before(asked) {
				heard = asked
			}
			if silent := time.Since(heard); silent < limit {
				timer.Reset(limit - silent)
				continue
			}
			c.fail(fmt.Errorf("no answer for %s", limit))
			return false
		}
	}
}

// lostError: the connection, or the session, broke.
type lostError struct {
	// started: the command may have run.
	started bool
	err     error
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// settle is how long a broken line may take to be known as such: the reader
// and the writer of a connection learn of it at different moments.
const settle = time.Second

// asLost makes a lostError of err if the connection has ended, or broke.
func (c *conn) asLost(err error, started bool) error {
	var lost *lostError
	if err == nil || errors.As(err, &lost) || !c.isLost() && !isBroken(err) {
		return err
	}
	return c.lose(err, started)
}

// lose makes a lostError of err, and waits until the connection is known to be
// lost, so that the next try does not use it.
func (c *conn) lose(err error, started bool) error {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-c.lost:
	case <-timer.C: // Only a session broke. That is as bad for its command.
	}
	return &lostError{started: started, err: c.reason(err)}
}

// isBroken: the error is about the line, and no answer of the machine.
func isBroken(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.As(err, &network)
}

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

// conn is one connection. Once it has ended, Host needs a new one.
type conn struct {
	options Options
	client  *gossh.Client
	wire    *watchedConn
	via     *conn

	sessions *sessions
	files    *files

	// lost is closed when the connection has ended; cause is the reason.
	lost  chan struct{}
	cause atomic.Pointer[error]
}

// watchedConn records when it last received something.
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

// fail ends the connection. The first reason is kept.
func (c *conn) fail(reason error) {
	c.cause.CompareAndSwap(nil, &reason)
	_ = c.wire.Close()
}

// close ends a connection that is no longer needed, and those of its bastions.
// c may be nil.
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

// reason returns why the connection ended, or err if it has not ended.
func (c *conn) reason(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return err
}

// keepalive sends a request at intervals, and ends a connection on which nothing
// is received in time: a host that lost its power sends no RST (golang/go#26643).
// Anything received counts, so that a long upload over a slow network is safe.
func (c *conn) keepalive() {
	ticker := time.NewTicker(c.options.Timeouts.KeepaliveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-c.lost:
			return
		case <-ticker.C:
		}
		sent := time.Now()
		answered := make(chan error, 1)
		go func() {
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		if !c.awaitAnswer(sent, answered) {
			return
		}
	}
}

func (c *conn) awaitAnswer(sent time.Time, answered <-chan error) bool {
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
			if heard.Before(sent) {
				heard = sent
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

// lostError: the connection or the session broke.
type lostError struct {
	// started: the command may have run, or is still running.
	started bool
	err     error
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// settle limits the wait until a broken connection is known to be lost: its reader
// and its writer notice at different moments.
const settle = time.Second

// asLost returns err as a lostError if the connection has ended or err is the error
// of a broken connection.
func (c *conn) asLost(err error, started bool) error {
	var lost *lostError
	if err == nil || errors.As(err, &lost) || !c.isLost() && !isBroken(err) {
		return err
	}
	return c.lose(err, started)
}

// lose returns err as a lostError. It first waits until the connection is known
// to be lost, so that a retry does not use it.
func (c *conn) lose(err error, started bool) error {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-c.lost:
	case <-timer.C: // only the session broke
	}
	return &lostError{started: started, err: c.reason(err)}
}

// isBroken reports whether an error is about the connection, and not an answer of
// the host.
func isBroken(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.As(err, &network)
}

package ssh

import (
	"net"
	"os"
	"sync"
	"time"
)

// deadlineConn adds deadlines to a forwarded connection, which has none in
// x/crypto/ssh and which WebSockets need. A deadline that passes during a Read or
// Write closes the connection: an SSH channel cannot be interrupted otherwise.
type deadlineConn struct {
	net.Conn
	read, write deadline
}

func withDeadlines(conn net.Conn) net.Conn { return &deadlineConn{Conn: conn} }

func (c *deadlineConn) Read(p []byte) (int, error)  { return c.read.bound(c.Conn, c.Conn.Read, p) }
func (c *deadlineConn) Write(p []byte) (int, error) { return c.write.bound(c.Conn, c.Conn.Write, p) }

func (c *deadlineConn) SetReadDeadline(t time.Time) error {
	c.read.set(c.Conn, t)
	return nil
}

func (c *deadlineConn) SetWriteDeadline(t time.Time) error {
	c.write.set(c.Conn, t)
	return nil
}

func (c *deadlineConn) SetDeadline(t time.Time) error {
	c.read.set(c.Conn, t)
	c.write.set(c.Conn, t)
	return nil
}

// deadline limits one direction. It counts only during a Read or Write.
type deadline struct {
	mu    sync.Mutex
	at    time.Time
	busy  int
	timer *time.Timer
	// passed: the timer has closed the connection.
	passed bool
}

func (d *deadline) set(conn net.Conn, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = at
	if d.busy > 0 {
		d.arm(conn)
	}
}

// arm starts the timer for the current deadline. The lock is held.
func (d *deadline) arm(conn net.Conn) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at.IsZero() {
		return
	}
	at := d.at
	d.timer = time.AfterFunc(time.Until(at), func() {
		d.mu.Lock()
		expired := d.busy > 0 && d.at.Equal(at)
		d.passed = d.passed || expired
		d.mu.Unlock()
		if expired {
			_ = conn.Close()
		}
	})
}

// bound runs one Read or Write under the deadline.
func (d *deadline) bound(conn net.Conn, do func([]byte) (int, error), p []byte) (int, error) {
	d.mu.Lock()
	if !d.at.IsZero() && !time.Now().Before(d.at) {
		d.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	d.busy++
	d.arm(conn)
	d.mu.Unlock()

	n, err := do(p)

	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy--
	if d.busy == 0 && d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if err != nil && d.passed {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

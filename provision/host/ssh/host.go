// Package ssh implements host.Host over an SSH connection, with one SFTP client
// and a limited number of sessions.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"slipway.io/slipway/provision/host"
)

// Host is a host behind an SSH connection. The first call connects, and a call
// that finds the connection lost connects again. It is safe for concurrent use.
type Host struct {
	options   Options
	privilege privilege

	// mu is never held while connecting.
	mu      sync.Mutex
	conn    *conn
	dialing *dialing // nil if no caller waits for a connection
	closed  bool
}

var (
	_ host.Host   = (*Host)(nil)
	_ host.Dialer = (*Host)(nil)
	_ host.Stater = (*Host)(nil)
)

// New returns the host that the options describe. It does not connect. Close
// the Host when you no longer need it.
func New(o Options) (*Host, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Host{options: o, privilege: newPrivilege()}, nil
}

// Connect connects if there is no connection. The other methods do this as well:
// use Connect to check whether the host answers. The error is a
// *host.HostKeyError, or wraps host.ErrUnreachable, host.ErrAuth or the error of
// the context.
func (h *Host) Connect(ctx context.Context) error {
	_, err := h.connection(ctx)
	return err
}

// ConnectTCP connects to the SSH port of the host, through the bastions, and does not log
// in: it checks whether something listens there.
func (h *Host) ConnectTCP(ctx context.Context) error {
	var via *conn
	if h.options.Bastion != nil {
		var err error
		if via, err = dial(ctx, *h.options.Bastion); err != nil {
			return err
		}
		defer via.close()
	}
	raw, err := dialTCP(ctx, h.options, via)
	if err != nil {
		return err
	}
	return raw.Close()
}

// String returns the host's name in the inventory.
func (h *Host) String() string { return h.options.Name }

// Close ends the connection. Commands that still run end with an error.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dialing != nil {
		h.dialing.cancel()
	}
	h.conn.close()
	h.conn, h.dialing, h.closed = nil, nil, true
	return nil
}

// DialContext connects from the host to addr, as ssh -L does.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var out net.Conn
	err := h.retryOnce(ctx, "dial "+addr, func(c *conn) error {
		var err error
		out, err = c.dial(ctx, network, addr)
		return c.asLost(err, false)
	})
	if err != nil {
		return nil, err
	}
	return withDeadlines(out), nil
}

// dialing is an attempt to connect. All callers that wait for a connection share
// it.
type dialing struct {
	cancel  context.CancelFunc
	waiting int // guarded by Host.mu

	// conn and err are set when done is closed.
	done chan struct{}
	conn *conn
	err  error
}

// connection returns the live connection, or waits for a new one.
func (h *Host) connection(ctx context.Context) (*conn, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, h.closedError()
	}
	if h.conn != nil && !h.conn.isLost() {
		defer h.mu.Unlock()
		return h.conn, nil
	}
	if h.dialing == nil {
		h.startDialing(ctx)
	}
	d := h.dialing
	d.waiting++
	h.mu.Unlock()

	select {
	case <-d.done:
		return d.conn, d.err
	case <-ctx.Done():
		h.stopWaiting(d)
		return nil, fmt.Errorf("%s: connect to %s: %w", h, h.options.hostPort(), ctx.Err())
	}
}

// startDialing dials in the background. It does not end with the context of the
// caller, because other callers may still wait. The lock is held.
func (h *Host) startDialing(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &dialing{cancel: cancel, done: make(chan struct{})}
	lost := h.conn
	h.conn, h.dialing = nil, d
	go func() {
		defer close(d.done)
		defer cancel()
		lost.close()
		c, err := dial(ctx, h.options)

		h.mu.Lock()
		defer h.mu.Unlock()
		if h.dialing != d { // no caller waits, or the host was closed
			c.close()
			d.err = h.closedError()
			return
		}
		h.dialing, h.conn = nil, c
		d.conn, d.err = c, err
	}()
}

// stopWaiting cancels an attempt when its last caller stops waiting.
func (h *Host) stopWaiting(d *dialing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.waiting--
	if d.waiting == 0 && h.dialing == d {
		d.cancel()
		h.dialing = nil
	}
}

func (h *Host) closedError() error { return fmt.Errorf("%s: %w", h, net.ErrClosed) }

// retryOnce calls do, and calls it once more if it returns a lostError. Doing
// describes it in the error.
func (h *Host) retryOnce(ctx context.Context, doing string, do func(*conn) error) error {
	for retried := false; ; retried = true {
		c, err := h.connection(ctx)
		if err != nil {
			return err
		}
		err = do(c)
		switch {
		case err == nil:
			return nil
		case !errors.As(err, new(*lostError)):
		case ctx.Err() != nil:
			err = ctx.Err()
		case retried:
			err = fmt.Errorf("%w: %w", host.ErrUnreachable, err)
		default:
			continue
		}
		return fmt.Errorf("%s: %s: %w", h, doing, err)
	}
}
